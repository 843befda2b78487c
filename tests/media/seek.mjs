// A video that a user uploaded is played in headless Chromium through a page whose service worker
// adds the access token: it seeks, which takes parts of the file, and without the token it is
// refused. CHROMIUM names the browser, VPXENC the encoder of the video.

import { spawn, spawnSync } from "node:child_process";
import { createServer } from "node:http";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Server, within } from "../clients/server.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const BROWSER_MAX_MS = 90_000;
const WIDTH = 320;
const HEIGHT = 240;
const FRAMES_PER_SECOND = 10;
const SECONDS = 30;

/** One frame as I420: noise, so that the file is large, below a corner that gets brighter. */
function frame(number) {
    const luma = Buffer.alloc(WIDTH * HEIGHT);
    let state = number + 1;
    for (let at = 0; at < luma.length; at++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        luma[at] = 64 + (state >>> 25);
    }
    const bright = 16 + Math.round((200 * number) / (SECONDS * FRAMES_PER_SECOND));
    for (let y = 0; y < 32; y++) luma.fill(bright, y * WIDTH, y * WIDTH + 32);
    return Buffer.concat([luma, Buffer.alloc((WIDTH * HEIGHT) / 2, 128)]);
}

/** A WebM of half a minute with several key frames. */
async function video(folder) {
    const [raw, webm] = [join(folder, "video.i420"), join(folder, "video.webm")];
    const frames = Array.from({ length: SECONDS * FRAMES_PER_SECOND }, (_, at) => frame(at));
    await writeFile(raw, Buffer.concat(frames));
    const encoded = spawnSync(process.env.VPXENC, [
        "--codec=vp8", "--i420", `--width=${WIDTH}`, `--height=${HEIGHT}`,
        `--fps=${FRAMES_PER_SECOND}/1`, "--rt", "--cpu-used=8", "--kf-max-dist=30",
        "--target-bitrate=2000", "--quiet", "-o", webm, raw,
    ]);
    assert.equal(encoded.status, 0, `vpxenc: ${encoded.stderr}`);
    return readFile(webm);
}

async function json(url, options = {}) {
    const response = await fetch(url, options);
    const body = await response.json();
    assert.equal(response.status, 200, `${url}: ${JSON.stringify(body)}`);
    return body;
}

/** An access token, by the registration token that the first start printed. */
async function register(server) {
    const auth = { type: "m.login.registration_token", token: server.firstToken };
    const account = { username: "alice", password: "wordpass1" };
    const url = `${server.url}/_matrix/client/v3/register`;
    const ask = (body) => fetch(url, { method: "POST", body: JSON.stringify(body) });
    const { session } = await (await ask(account)).json();
    let answer = await ask({ ...account, auth: { ...auth, session } });
    if (answer.status === 401) {
        const dummy = { type: "m.login.dummy", session };
        answer = await ask({ ...account, auth: dummy });
    }
    const made = await answer.json();
    assert.equal(answer.status, 200, JSON.stringify(made));
    return made.access_token;
}

/** Serves the page; what it says in the end. */
function serve(facts) {
    let tell;
    const said = new Promise((resolve) => (tell = resolve));
    const files = { "/": ["page.html", "text/html"], "/worker.js": ["worker.js", "text/javascript"] };
    const http = createServer(async (request, response) => {
        const [name, type] = files[request.url] ?? [];
        if (name) {
            const content = await readFile(join(here, name));
            response.writeHead(200, { "content-type": type }).end(content);
        } else if (request.url === "/facts") {
            response.writeHead(200, { "content-type": "application/json" });
            response.end(JSON.stringify(facts));
        } else if (request.url === "/said") {
            const pieces = [];
            for await (const piece of request) pieces.push(piece);
            response.writeHead(204).end();
            tell(JSON.parse(Buffer.concat(pieces).toString()));
        } else {
            response.writeHead(404).end();
        }
    });
    return { http, said };
}

const folder = await mkdtemp(join(tmpdir(), "belfry-seek-"));
const server = await Server.create();
let browser = null;
let page = null;
try {
    await server.start();
    const token = await register(server);
    const content = await video(folder);
    const uploaded = await json(`${server.url}/_matrix/media/v3/upload?filename=a.webm`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "video/webm" },
        body: content,
    });
    const file = uploaded.content_uri.slice("mxc://".length);
    const base = server.url.replace(/[/.]+$/, "");
    const path = `${base}/_matrix/client/v1/media/download/${file}`;
    assert.equal((await fetch(path)).status, 401);
    page = serve({ token, base, file });
    await new Promise((resolve) => page.http.listen(0, "127.0.0.1", resolve));
    browser = spawn(process.env.CHROMIUM, [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--autoplay-policy=no-user-gesture-required", "--mute-audio",
        "--disable-background-networking", "--disable-component-update",
        `--user-data-dir=${join(folder, "profile")}`,
        `http://127.0.0.1:${page.http.address().port}/`,
    ], { stdio: ["ignore", "ignore", "pipe"], detached: true });
    let complaints = "";
    browser.stderr.on("data", (data) => (complaints = (complaints + data).slice(-4_000)));
    const said = await within("the page", BROWSER_MAX_MS, page.said).catch((error) => {
        throw new Error(`${error.message}\n${complaints}`);
    });
    assert.equal(said.error, undefined, said.error);
    assert.equal(said.bare, 401, "without the token there is no video");
    assert.ok(Math.abs(said.duration - SECONDS) < 1, `duration ${said.duration}`);
    assert.ok(Math.abs(said.at - said.target) < 0.5, `at ${said.at}, not ${said.target}`);
    assert.ok(said.parts >= 2, `it came in ${said.parts} parts`);
    // The corner is as bright as the frame of that time: it is that frame that is shown.
    const [bright] = said.pixel;
    assert.ok(bright > 140 && bright < 220, `the frame at the end, not ${said.pixel}`);
    console.log(`seek: ${content.length} bytes, ${said.parts} parts, at ${said.at} of ${said.duration} s`);
} finally {
    if (browser) {
        // Its helpers are of its group.
        try { process.kill(-browser.pid, "SIGKILL"); } catch { /* it has ended */ }
    }
    page?.http.closeAllConnections();
    page?.http.close();
    await server.clear();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
}
