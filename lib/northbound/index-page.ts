import { pageHeaders, send } from '../http/reply.js';
import type { Handler, Route } from '../http/router.js';

const style = ':root { color-scheme: light dark } body { font: 15px/1.6 system-ui, sans-serif; margin: 2rem }';
const headers = pageHeaders(style);

/** The page at `/`: which service this is, and what it can be asked. */
export function indexHandler(version: string, routes: () => readonly Route[]): Handler {
  return (exchange) => {
    const rows = routes().map(([method, path]) => `<tr><td>${method}</td><td><code>${path}</code></td></tr>`);
    const page = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>image-service</title>
<style>${style}</style>
</head>
<body>
<h1>image-service ${version}</h1>
<p>The management API. Start with <a href="images">images</a>, <a href="iso">iso</a> or
<a href="microkernel">microkernel</a>.</p>
<table>
${rows.join('\n')}
</table>
</body>
</html>
`;
    send(exchange, 200, 'text/html; charset=utf-8', page, headers);
  };
}
