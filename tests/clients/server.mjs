// A Belfry server for one script: its own data folder, its own port, started, stopped and killed
// by its process id. It knows nothing of Matrix clients.

import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeFile } from "node:fs/promises";
import assert from "node:assert/strict";

/** How long a server may take to say where it is, or to end; and how long a command may take. */
const PROCESS_MAX_MS = 30_000;

/** The promise's value, or an error that names what was waited for. */
export async function within(what, limitMs, promise) {
    let timer;
    const alarm = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${what}: not within ${limitMs} ms`)), limitMs);
    });
    try {
        return await Promise.race([promise, alarm]);
    } finally {
        clearTimeout(timer);
    }
}

export class Server {
    #folder;
    #child = null;
    #port = 0;
    /** Where it is reached, from its own words. */
    url = "";
    /** The registration token that its first start printed. */
    firstToken = null;

    /** A server in a fresh folder, not started yet. */
    static async create() {
        const server = new Server();
        server.#folder = await mkdtemp(join(tmpdir(), "belfry-js-"));
        return server;
    }

    /** Starts it and waits until it has said where it is. A restart listens on the same port. */
    async start() {
        const config = join(this.#folder, "belfry.toml");
        await writeFile(config, `listen.addresses = ["127.0.0.1:${this.#port}"]\n`);
        this.#child = this.#spawn(["--config", config], ["ignore", "pipe", "pipe"]);
        this.#child.stderr.pipe(createWriteStream(join(this.#folder, "log"), { flags: "a" }));
        await within("the server's address", PROCESS_MAX_MS, this.#readGreeting());
        this.#port = new URL(this.url).port;
    }

    /** Reads what it prints as far as it matters: an URL and, of an empty server, a token. */
    async #readGreeting() {
        const first = this.#port === 0;
        this.url = "";
        for await (const line of createInterface({ input: this.#child.stdout })) {
            this.url = /http:\/\/\S+/.exec(line)?.[0] ?? this.url;
            this.firstToken = /registration token .* (\S+)$/.exec(line)?.[1] ?? this.firstToken;
            if (this.url && (this.firstToken || !first)) return;
        }
        throw new Error(`the server ended without a greeting: ${await this.log()}`);
    }

    /** Runs a command of the program beside the running server; what it printed. */
    async command(...args) {
        const config = join(this.#folder, "belfry.toml");
        const child = this.#spawn(["--config", config, ...args], ["ignore", "pipe", "inherit"]);
        let out = "";
        child.stdout.on("data", (data) => (out += data));
        const [code] = await within(args.join(" "), PROCESS_MAX_MS, once(child, "close"));
        assert.equal(code, 0, `${args.join(" ")} failed`);
        return out.trim();
    }

    /** Asks it to end, as a service manager does. It must end well. */
    async stop() {
        assert.deepEqual(await this.#end("SIGTERM"), [0, null]);
    }

    /** Takes it away in the middle of whatever it does. */
    async kill() {
        assert.deepEqual(await this.#end("SIGKILL"), [null, "SIGKILL"]);
    }

    async #end(signal) {
        const ended = once(this.#child, "exit");
        this.#child.kill(signal);
        const how = await within(`the end by ${signal}`, PROCESS_MAX_MS, ended);
        this.#child = null;
        return how;
    }

    async log() {
        return readFile(join(this.#folder, "log"), "utf8");
    }

    /** Ends what runs and removes what it left, whatever happened before. */
    async clear() {
        if (this.#child) await this.kill().catch(() => {});
        await rm(this.#folder, { recursive: true, force: true });
    }

    #spawn(args, stdio) {
        const env = { ...process.env, LC_ALL: "C" };
        delete env.NOTIFY_SOCKET;
        return spawn(process.env.BELFRY_BIN, args, { cwd: this.#folder, env, stdio });
    }
}
