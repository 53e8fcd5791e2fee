/** What conditions have found out, by the names of their groups. */
export type Values = ReadonlyMap<string, string>;

/** What a text may leave open for whoever asks for a recipe: URLs and their parts. */
const later = ['tree', 'parent', 'iso', 'host', 'path'];

const maxLength = 200;

/** What would be another line, another placeholder, or a variable or the end of a command of a boot loader. */
const unusable = /[{}$`]|\p{Cc}|(?:^|\s)(?:\|\||&&|;)(?:\s|$)/u;

/** A value as it may be used wherever it is put; undefined when it may not. */
export function cleaned(value: string): string | undefined {
  const text = value.trim();
  return text === '' || text.length > maxLength || unusable.test(text) ? undefined : text;
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
