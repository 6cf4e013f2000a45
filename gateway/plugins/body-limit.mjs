/** Refuse requests with a body above `limit` bytes, or of a length that is not said. */
export function useBodyLimit(limit) {
  return {
    onRequest({ request, endResponse, fetchAPI }) {
      if (request.method === 'GET' || request.method === 'OPTIONS') return;
      const length = request.headers.get('content-length');
      if (length === null && request.headers.has('transfer-encoding')) {
        endResponse(refusal(fetchAPI, 411, 'Send the length of the body (Content-Length).'));
      } else if (Number(length ?? 0) > limit) {
        endResponse(refusal(fetchAPI, 413, `A request may have ${limit} bytes.`));
      }
    },
  };
}

function refusal(fetchAPI, status, message) {
  return new fetchAPI.Response(JSON.stringify({ errors: [{ message }] }), {
    status,
    headers: { 'content-type': 'application/json', connection: 'close' },
  });
}
