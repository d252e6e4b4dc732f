// yaml-language-server as a child, spoken to over its standard streams as editors do.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const SERVER = createRequire(import.meta.url).resolve("yaml-language-server/bin/yaml-language-server");

export class LanguageServer {
  #child = spawn(process.execPath, [SERVER, "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });
  #buffer = Buffer.alloc(0);
  #requests = 0;
  #answers = new Map();
  #diagnostics = new Map();

  // With no settings but that nothing is fetched: what a file says itself must be enough.
  static async start() {
    const server = new LanguageServer();
    server.#child.stdout.on("data", (bytes) => server.#read(bytes));
    await server.#ask("initialize", {
      processId: process.pid,
      rootUri: null,
      capabilities: {
        textDocument: {
          completion: { completionItem: { snippetSupport: true, documentationFormat: ["markdown"] } },
          hover: { contentFormat: ["markdown"] },
        },
        workspace: { configuration: true },
      },
    });
    server.#tell("initialized", {});
    return server;
  }

  // Opens a file; ends with its first diagnostics.
  async open(path, text) {
    const uri = pathToFileURL(path).href;
    const found = new Promise((resolve) => this.#diagnostics.set(uri, resolve));
    this.#tell("textDocument/didOpen", { textDocument: { uri, languageId: "yaml", version: 1, text } });
    return { uri, diagnostics: await found };
  }

  async complete(uri, position) {
    const answer = await this.#ask("textDocument/completion", { textDocument: { uri }, position });
    return answer?.items ?? answer ?? [];
  }

  async hover(uri, position) {
    const answer = await this.#ask("textDocument/hover", { textDocument: { uri }, position });
    return answer?.contents?.value ?? "";
  }

  async stop() {
    await this.#ask("shutdown", null);
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#tell("exit", null);
    await ended;
  }

  #ask(method, params) {
    const id = ++this.#requests;
    const answer = new Promise((resolve, reject) => this.#answers.set(id, { resolve, reject }));
    this.#send({ id, method, params });
    return answer;
  }

  #tell(method, params) {
    this.#send({ method, params });
  }

  #send(message) {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    this.#child.stdin.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
  }

  #read(bytes) {
    this.#buffer = Buffer.concat([this.#buffer, bytes]);
    for (;;) {
      const end = this.#buffer.indexOf("\r\n\r\n");
      if (end < 0) return;
      const length = Number(/Content-Length: (\d+)/i.exec(this.#buffer.subarray(0, end).toString())[1]);
      if (this.#buffer.length < end + 4 + length) return;
      const text = this.#buffer.subarray(end + 4, end + 4 + length).toString();
      this.#buffer = this.#buffer.subarray(end + 4 + length);
      this.#heard(JSON.parse(text));
    }
  }

  #heard({ id, method, params, result, error }) {
    if (method === "textDocument/publishDiagnostics") {
      this.#diagnostics.get(params.uri)?.(params.diagnostics);
    } else if (method === "workspace/configuration") {
      const yaml = { validate: true, completion: true, hover: true, schemaStore: { enable: false } };
      this.#send({ id, result: params.items.map((item) => (item.section === "yaml" ? yaml : {})) });
    } else if (method && id !== undefined) {
      this.#send({ id, result: null });
    } else if (id !== undefined && this.#answers.has(id)) {
      const { resolve, reject } = this.#answers.get(id);
      this.#answers.delete(id);
      error ? reject(new Error(error.message)) : resolve(result);
    }
  }
}
