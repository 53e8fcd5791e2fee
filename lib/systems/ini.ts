/** What an INI file holds: sections by their names, and in each the values by their keys. */
export type Ini = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** Reads an INI file as Python's configparser does, which most of them are written for; lines that are none are left out. */
export function parseIni(text: string): Ini {
  const sections = new Map<string, Map<string, string>>();
  let values: Map<string, string> | undefined;
  for (const line of text.split('\n')) {
    const section = /^\[([^\]]*)\]\s*$/.exec(line)?.[1];
    if (section !== undefined) {
      values = sections.get(section) ?? new Map<string, string>();
      sections.set(section, values);
      continue;
    }
    const end = line.search(/[=:]/);
    if (end < 1 || /^\s*[#;]/.test(line)) continue;
    values?.set(line.slice(0, end).trim(), line.slice(end + 1).trim());
  }
  return sections;
}
