// tus-js-client as its users call it: reads an order per line, {endpoint, file, name}, and answers with
// what it was told at the end.
import { createReadStream, statSync } from "node:fs";
import { createInterface } from "node:readline";
import { Upload } from "tus-js-client";

const RETRIES = [0, 50, 100, 200, 400, 800, 1600, 3000, 3000, 3000, 3000, 3000];

function send({ endpoint, file, name }) {
  return new Promise((resolve) => {
    const requests = [];
    const upload = new Upload(createReadStream(file), {
      endpoint,
      uploadSize: statSync(file).size,
      metadata: { filename: name, filetype: "application/octet-stream" },
      retryDelays: RETRIES,
      chunkSize: 8 * 1024 * 1024,
      onAfterResponse: (request, response) => {
        requests.push([request.getMethod(), response.getStatus()]);
      },
      onError: (error) => resolve({ error: String(error), requests }),
      onSuccess: ({ lastResponse }) =>
        resolve({ document: lastResponse.getHeader("Docmill-Document-Id"), requests }),
    });
    upload.start();
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await send(JSON.parse(line))));
}
