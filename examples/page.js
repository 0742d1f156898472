// Where the examples' pages call: ?port= and ?hash= of the page's address. In production it is one URL, and no hash.
const query = new URLSearchParams(location.search);

export const options = {
  url: `https://127.0.0.1:${query.get('port') ?? 4433}/voice`,
  certificateHashes: query.has('hash') ? [query.get('hash')] : [],
};

export const log = (line) => document.querySelector('#log').append(`${line}\n`);
