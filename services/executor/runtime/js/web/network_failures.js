// The errors that `fetch` itself made for a failed network: an uncaught one of these means that the attempt is retried,
// and an object that only looks like one does not.
const failures = new WeakSet();

export const markNetworkFailure = (error) => void failures.add(error);
export const isNetworkFailure = (error) => typeof error === 'object' && error !== null && failures.has(error);
