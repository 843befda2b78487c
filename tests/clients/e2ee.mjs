// matrix-js-sdk with its Rust crypto against Belfry: two people chat encrypted both ways, also after
// the server was killed; one makes an identity and a key backup, signs in on a new device, verifies
// it by the recovery key and reads what was said before; then they reset their identity.

import assert from "node:assert/strict";
import { ClientEvent, createClient, InteractiveAuth, KnownMembership, SyncState } from "matrix-js-sdk";
import { logger as sharedLogger } from "matrix-js-sdk/lib/logger.js";
import { Server, within } from "./server.mjs";

/** How long one step may take. */
const STEP_MAX_MS = 30_000;
/** How long all of it may take. */
const ALL_MAX_MS = 140_000;
/** How often is looked whether something has come that no event tells. */
const LOOK_MS = 50;
const PASSWORD = "correct horse battery";

const logger = { getChild: () => logger };
for (const level of ["trace", "debug", "info", "warn", "error"]) logger[level] = () => {};
sharedLogger.setLevel("silent");

/** What `look` gives once it gives something. */
function until(what, look) {
    const seen = (async () => {
        for (;;) {
            const found = await look();
            if (found) return found;
            await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
        }
    })();
    return within(what, STEP_MAX_MS, seen);
}

async function signUp(url, username, token) {
    const anonymous = createClient({ baseUrl: url, logger });
    const auth = new InteractiveAuth({
        matrixClient: anonymous,
        doRequest: (dict) =>
            anonymous.registerRequest({ username, password: PASSWORD, auth: dict ?? undefined }),
        stateUpdated: (stage) =>
            auth.submitAuthDict({ type: stage, token, session: auth.getSessionId() }),
        requestEmailToken: () => assert.fail("nobody asked for an e-mail address"),
    });
    return within(`${username} signs up`, STEP_MAX_MS, auth.attemptAuth());
}

function signIn(url, username) {
    const anonymous = createClient({ baseUrl: url, logger });
    return anonymous.loginRequest({
        type: "m.login.password",
        identifier: { type: "m.id.user", user: username },
        password: PASSWORD,
    });
}

/** A client with crypto that has synced. `recovery` holds the recovery key, once there is one. */
async function connect(url, session, recovery) {
    const client = createClient({
        baseUrl: url,
        logger,
        userId: session.user_id,
        deviceId: session.device_id,
        accessToken: session.access_token,
        disableVoip: true,
        cryptoCallbacks: {
            getSecretStorageKey: async ({ keys }) => [Object.keys(keys)[0], recovery.privateKey],
        },
    });
    await within("crypto starts", STEP_MAX_MS, client.initRustCrypto({ useIndexedDB: false }));
    await client.startClient({ initialSyncLimit: 50, pollTimeout: 20_000 });
    await until("the first sync", () => client.getSyncState() === SyncState.Syncing);
    return client;
}

/** Sends encrypted and waits until the other has read it. */
async function say(from, to, roomId, body) {
    const { event_id: id } = await from.sendTextMessage(roomId, body);
    await read(to, roomId, id, body);
    return id;
}

/** Waits until the client has decrypted this. */
async function read(client, roomId, id, body) {
    const event = await until(`"${body}" is read`, () => {
        const event = client.getRoom(roomId)?.findEventById(id);
        return event?.getClearContent()?.body && event;
    });
    assert.equal(event.getWireType(), "m.room.encrypted", "it went in clear");
    assert.equal(event.getContent().body, body);
}

async function meet(alice, bob) {
    const algorithm = "m.megolm.v1.aes-sha2";
    const { room_id: roomId } = await alice.createRoom({
        preset: "trusted_private_chat",
        is_direct: true,
        invite: [bob.getUserId()],
        initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm } }],
    });
    const of = (client) => client.getRoom(roomId);
    await until("the invitation", () => of(bob)?.getMyMembership() === KnownMembership.Invite);
    await bob.joinRoom(roomId);
    await until("Bob is in", () => of(bob).getMyMembership() === KnownMembership.Join);
    await until("Alice sees Bob", () => {
        return of(alice)?.getMember(bob.getUserId())?.membership === KnownMembership.Join;
    });
    return roomId;
}

/** Proves who one is by the password, if the server asks. */
function byPassword(username) {
    return async (upload) => {
        try {
            await upload(null);
        } catch (error) {
            assert.equal(error.httpStatus, 401);
            await upload({
                type: "m.login.password",
                session: error.data.session,
                identifier: { type: "m.id.user", user: username },
                password: PASSWORD,
            });
        }
    };
}

/** An identity, secret storage and a backup of the keys, as a new user sets them up. */
async function setUp(client, username, recovery) {
    const crypto = client.getCrypto();
    Object.assign(recovery, await crypto.createRecoveryKeyFromPassphrase());
    await crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: byPassword(username) });
    await crypto.bootstrapSecretStorage({
        createSecretStorageKey: async () => recovery,
        setupNewKeyBackup: true,
    });
    await until("the device is trusted", async () => {
        const { deviceId } = client;
        const status = await crypto.getDeviceVerificationStatus(client.getUserId(), deviceId);
        return status?.signedByOwner;
    });
}

async function run(server, clients) {
    await server.start();
    const alicesToken = server.firstToken;
    const aliceSession = await signUp(server.url, "alice", alicesToken);
    const bobsToken = await server.command("registration-token", "create", "--uses", "1");
    const bobSession = await signUp(server.url, "bob", bobsToken);
    const recovery = {};
    const alice = await connect(server.url, aliceSession, recovery);
    clients.push(alice);
    const bob = await connect(server.url, bobSession, {});
    clients.push(bob);

    await setUp(alice, "alice", recovery);
    const roomId = await meet(alice, bob);
    const first = await say(alice, bob, roomId, "For your eyes only");
    await say(bob, alice, roomId, "And for yours: 🔒");

    await server.kill();
    await server.start();
    await say(alice, bob, roomId, "After the kill");
    const master = await until("Bob knows who Alice is", () => {
        return bob.getCrypto().getUserVerificationStatus(alice.getUserId());
    });
    assert.ok(!master.isVerified());
    await until("the keys are in the backup", async () => {
        // Its own question would be answered from memory.
        const info = await alice.http.authedRequest("GET", "/room_keys/version");
        return info.count >= 2;
    });

    const second = await connect(server.url, await signIn(server.url, "alice"), recovery);
    clients.push(second);
    const crypto = second.getCrypto();
    await crypto.bootstrapCrossSigning({});
    await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    assert.ok(await crypto.checkKeyBackupAndEnable());
    const restored = await crypto.restoreKeyBackup();
    assert.ok(restored.imported >= 2, `${restored.imported} keys`);
    await read(second, roomId, first, "For your eyes only");
    await until("the first device trusts the second", async () => {
        const own = [alice.getUserId(), second.getDeviceId()];
        const status = await alice.getCrypto().getDeviceVerificationStatus(...own);
        return status?.crossSigningVerified;
    });
    await until("Bob sees the second device", async () => {
        const found = await bob.getCrypto().getUserDeviceInfo([alice.getUserId()], true);
        return found.get(alice.getUserId())?.has(second.getDeviceId());
    });
    const late = await bob.sendTextMessage(roomId, "To both");
    for (const device of [alice, second]) await read(device, roomId, late.event_id, "To both");

    const before = await crypto.getCrossSigningKeyId();
    await crypto.bootstrapCrossSigning({
        setupNewCrossSigning: true,
        authUploadDeviceSigningKeys: byPassword("alice"),
    });
    assert.notEqual(await crypto.getCrossSigningKeyId(), before, "the identity is another");

    for (const client of clients.splice(0)) {
        client.stopClient();
        await client.logout();
    }
    await server.stop();
    assert.doesNotMatch(await server.log(), /\b(WARN|ERROR)\b/);
}

const server = await Server.create();
const clients = [];
let code = 0;
try {
    await within("all of it", ALL_MAX_MS, run(server, clients));
} catch (error) {
    code = 1;
    console.error(error);
    console.error(await server.log().catch(() => "no log"));
} finally {
    clients.forEach((client) => client.stopClient());
    await server.clear();
}
process.exit(code);
