// Vite serves the page; what the page asks its app for goes on to server.js, so that page and app have one origin and its cookie.
const app = `http://127.0.0.1:${process.env.APP_PORT ?? 3000}`;

export default { server: { proxy: { '/login': app, '/token': app } } };
