/** What conditions have found out, by the names of their groups. */
export type Values = ReadonlyMap<string, string>;

/** What a text may leave open for whoever asks for a recipe: URLs and their parts. */
const later = ['tree', 'parent', 'iso', 'host', 'path'];

const maxLength = 200;

/** A value as it may be used: without what would be another line, or another placeholder, where it is put. */
export function cleaned(value: string): string | undefined {
  const text = value.trim();
  return text === '' || text.length > maxLength || /[{}]|\p{Cc}/u.test(text) ? undefined : text;
}

/** A text with its placeholders, `{name}`, filled in; undefined when there is no value for one of them. */
export function filled(text: string, values: Values): string | undefined {
  const parts = text.split(/\{(\w+)\}/);
  const complete = parts.map((part, index) => {
    if (index % 2 === 0) return part;
    return values.get(part) ?? (later.includes(part) ? `{${part}}` : undefined);
  });
  return complete.includes(undefined) ? undefined : complete.join('');
}

/** As `filled`, of what may be left out. */
export function filledIfGiven(text: string | undefined, values: Values): string | undefined {
  return text === undefined ? undefined : filled(text, values);
}
