// tus-js-client as it is, with node's http beneath it: sends FILE to URL, slowly, and goes on after whatever happens.
// Prints the address of the job. Usage: node tus_client.cjs URL FILE

"use strict";

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const tus = require(path.join(__dirname, "../../app/api/page/vendor/tus-js-client/tus.min.js"));

const [url, file] = process.argv.slice(2);
const PIECE = 64 * 1024;
let job = "";

class Answer {
  constructor(message, body) { Object.assign(this, { message, body }); }
  getStatus() { return this.message.statusCode; }
  getHeader(name) { return this.message.headers[name.toLowerCase()]; }
  getBody() { return this.body; }
  getUnderlyingObject() { return this.message; }
}

class Asked {
  constructor(method, address) { Object.assign(this, { method, address, headers: {}, told: () => {} }); }
  getMethod() { return this.method; }
  getURL() { return this.address; }
  setHeader(name, value) { this.headers[name] = value; }
  getHeader(name) { return this.headers[name]; }
  setProgressHandler(told) { this.told = told; }
  getUnderlyingObject() { return this.request; }
  abort() { this.request.destroy(); return Promise.resolve(); }
  async send(body) {
    const bytes = body ? Buffer.from(await body.arrayBuffer()) : Buffer.alloc(0);
    return new Promise((resolve, reject) => {
      const headers = { ...this.headers, "Content-Length": bytes.length };
      this.request = http.request(this.address, { method: this.method, headers, agent: false }, (message) => {
        const parts = [];
        message.on("data", (part) => parts.push(part));
        message.on("end", () => resolve(new Answer(message, Buffer.concat(parts).toString())));
        message.on("error", reject);
      });
      this.request.on("error", reject);
      const write = (offset) => {
        if (this.request.destroyed) return;
        if (offset >= bytes.length) { this.request.end(); return; }
        this.request.write(bytes.subarray(offset, offset + PIECE));
        this.told(offset + PIECE);
        setTimeout(write, 5, offset + PIECE);
      };
      write(0);
    });
  }
}

const upload = new tus.Upload(new Blob([fs.readFileSync(file)]), {
  endpoint: url,
  metadata: { filename: path.basename(file) },
  retryDelays: Array(600).fill(50),
  httpStack: { createRequest: (method, address) => new Asked(method, address), getName: () => "node" },
  onAfterResponse: (request, answer) => { job = answer.getHeader("Tarmac-Job") || job; },
  onUploadUrlAvailable: () => process.stderr.write("begun\n"),
  onError: (error) => { process.stderr.write(`${error}\n`); process.exit(1); },
  onSuccess: () => { process.stdout.write(`${job}\n`); process.exit(0); },
});
upload.start();
