import t from 'tap';
import { preferredType } from '../../lib/http/accept.js';

const html = 'text/html';
const json = 'application/json';
const text = 'text/plain';

t.test('an Accept header chooses among the types that are offered', (t) => {
  const cases: [header: string | undefined, expected: string | undefined][] = [
    [undefined, html],
    ['', html],
    [' , ', html],
    ['*/*', html],
    [json, json],
    ['Application/JSON', json],
    ['application/json; charset=utf-8', json],
    ['application/*', json],
    ['text/*', html],
    [text, text],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', html],
    ['application/json, text/plain, */*', json],
    ['*/*, application/json', json],
    ['text/html, application/json', html],
    ['text/html;q=0.5, application/json', json],
    ['text/html;q=0.5, application/json;q=0.50', html],
    ['text/html ; Q=0.1 , text/plain ; q=0.2', text],
    ['text/*;q=0.9, text/html;q=0.1, application/json;q=0.5', text],
    ['text/html;q=0, */*', json],
    ['*/*;q=0', undefined],
    ['image/png', undefined],
    ['json', undefined],
  ];
  for (const [header, expected] of cases)
    t.equal(preferredType(header, [html, json, text]), expected, header ?? 'no header');
  t.end();
});

t.test('a quality that is no number from 0 to 1 counts as not accepted', (t) => {
  for (const quality of ['2', '-1', 'x', '', '0.1234', '1.1', '0x1', '1e0']) {
    t.equal(preferredType(`application/json;q=${quality}, text/plain;q=0.001`, [json, text]), text, quality);
  }
  t.end();
});

t.test('nothing offered, nothing preferred', (t) => {
  const none: string[] = [];
  t.equal(preferredType('*/*', none), undefined);
  t.equal(preferredType(undefined, none), undefined);
  t.end();
});
