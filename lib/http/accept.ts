interface MediaRange {
  readonly range: string;
  /** 0 to 1. */
  readonly quality: number;
}

function qualityOf(parameters: readonly string[]): number {
  const weight = parameters.find((parameter) => /^q=/i.test(parameter));
  if (weight === undefined) return 1;
  return /^q=(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/i.test(weight) ? Number(weight.slice(2)) : 0;
}

function parseAccept(header: string): MediaRange[] {
  return header
    .split(',')
    .map((element) => element.split(';').map((part) => part.trim()))
    .map(([range = '', ...parameters]) => ({ range: range.toLowerCase(), quality: qualityOf(parameters) }))
    .filter(({ range }) => range !== '');
}

/** Of the ranges that cover a type the most specific one decides, whatever the others say (RFC 9110 12.5.1). */
function rate(type: string, accepted: readonly MediaRange[]): { quality: number; specificity: number } {
  const patterns = ['*/*', type.replace(/\/.*/, '/*'), type];
  for (const [specificity, pattern] of [...patterns.entries()].reverse()) {
    const found = accepted.find(({ range }) => range === pattern);
    if (found !== undefined) return { quality: found.quality, specificity };
  }
  return { quality: 0, specificity: 0 };
}

/**
 * The media type that an Accept header likes best (RFC 9110 12.5.1): by quality, then the one that it names more
 * exactly, then the one that is offered first. Undefined when it accepts none; without a header, the first.
 * @param offers media types in lower case, without parameters
 */
export function preferredType<T extends string>(header: string | undefined, offers: readonly T[]): T | undefined {
  const accepted = parseAccept(header ?? '');
  if (accepted.length === 0) return offers[0];
  const rated = offers.map((type) => ({ type, ...rate(type, accepted) })).filter(({ quality }) => quality > 0);
  // A stable sort: what is offered first stays first among equals.
  rated.sort((a, b) => b.quality - a.quality || b.specificity - a.specificity);
  return rated[0]?.type;
}
