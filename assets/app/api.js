// The way to our own routes. Every failure is an Error whose message is one sentence for the reader.

const LOST = "The server cannot be reached; what is on the screen is kept. Is Interval still running?";

async function sentence(response) {
  try {
    return (await response.json()).error ?? `The server answered ${response.status}.`;
  } catch {
    return `The server answered ${response.status}.`;
  }
}

export async function call(method, url, body, options = {}) {
  let response;
  try {
    response = await fetch(url, {
      method,
      credentials: "same-origin",
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      ...options,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(LOST);
  }
  if (!response.ok) throw Object.assign(new Error(await sentence(response)), { status: response.status });
  return response;
}

export const get = async (url) => (await call("GET", url)).json();
export const post = async (url, body = {}) => (await call("POST", url, body)).json();
export const put = async (url, body, options) => (await call("PUT", url, body, options)).json();
export const patch = async (url, body) => (await call("PATCH", url, body)).json();

/** POST and hear server-sent events one by one, as they come. Ends when the server ends. */
export async function stream(url, body, onEvent, signal) {
  const response = await call("POST", url, body, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error(LOST);
    }
    if (part.done) return;
    pending += part.value;
    for (let end = pending.indexOf("\n\n"); end >= 0; end = pending.indexOf("\n\n")) {
      const block = pending.slice(0, end);
      pending = pending.slice(end + 2);
      if (block.startsWith("data: ")) onEvent(JSON.parse(block.slice(6)));
    }
  }
}

/** Send files as one form; `onSent(done, total)` in bytes, `onLine(object)` for each line of the answer. */
export function upload(url, files, onSent, onLine) {
  const form = new FormData();
  for (const { file, name } of files) form.append("files", file, name);
  const request = new XMLHttpRequest();
  let read = 0;
  const lines = (final) => {
    const text = request.responseText;
    for (let end = text.indexOf("\n", read); end >= 0; end = text.indexOf("\n", read)) {
      const line = text.slice(read, end).trim();
      read = end + 1;
      if (line) onLine(JSON.parse(line));
    }
    if (final && text.slice(read).trim()) onLine(JSON.parse(text.slice(read)));
  };
  const done = new Promise((resolve, reject) => {
    request.upload.onprogress = (event) => event.lengthComputable && onSent(event.loaded, event.total);
    request.onprogress = () => request.status === 200 && lines(false);
    request.onerror = () => reject(new Error("The upload broke off; nothing of it was kept. Send it again."));
    request.onabort = () => reject(Object.assign(new Error("The upload was stopped."), { name: "AbortError" }));
    request.onload = () => {
      if (request.status === 200) return resolve(lines(true));
      let text = `The server answered ${request.status}.`;
      try { text = JSON.parse(request.responseText).error ?? text; } catch { /* not ours */ }
      return reject(new Error(text));
    };
  });
  request.open("POST", url);
  request.send(form);
  return { done, abort: () => request.abort() };
}
