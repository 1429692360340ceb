// The text of a script as the body of a function. Node drops the same two things from a file; positions are those that
// an editor shows, which hides the first and keeps the second.

const BYTE_ORDER_MARK = 0xfeff;

export function asBody(code) {
  const text = code.charCodeAt(0) === BYTE_ORDER_MARK ? code.slice(1) : code;
  return text.startsWith('#!') ? `//${text.slice(2)}` : text;
}
