// matrix-js-sdk with its Rust crypto against Belfry: people verify each other, talk encrypted in a DM
// and in a group, also after the server was killed; one makes an identity, secret storage and a key
// backup, signs in on a new device by the recovery key, on another one by comparing emoji, which then
// asks the others for the secrets, and reads what was said before; then they reset their identity.

import assert from "node:assert/strict";
import { createClient, InteractiveAuth, KnownMembership, SyncState } from "matrix-js-sdk";
import { CryptoEvent, VerificationPhase, VerifierEvent } from "matrix-js-sdk/lib/crypto-api/index.js";
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

/** An encrypted room in which all are, and know of one another. With one guest it is a DM. */
async function meet(host, ...guests) {
    const algorithm = "m.megolm.v1.aes-sha2";
    const { room_id: roomId } = await host.createRoom({
        preset: "trusted_private_chat",
        is_direct: guests.length === 1,
        invite: guests.map((guest) => guest.getUserId()),
        initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm } }],
    });
    const of = (client) => client.getRoom(roomId);
    for (const guest of guests) {
        await until("the invitation", () => of(guest)?.getMyMembership() === KnownMembership.Invite);
        await guest.joinRoom(roomId);
    }
    for (const client of [host, ...guests]) {
        await until("all are in", () => of(client)?.getJoinedMembers().length === guests.length + 1);
        await until("it is encrypted", () => client.getCrypto().isEncryptionEnabledInRoom(roomId));
    }
    return roomId;
}

/** Both sides of a verification compare emoji, as people do who sit side by side. */
async function verify(ask, answering) {
    const received = CryptoEvent.VerificationRequestReceived;
    const asked = new Promise((resolve) => answering.once(received, resolve));
    const mine = await ask();
    const theirs = await within("somebody is asked", STEP_MAX_MS, asked);
    await theirs.accept();
    await until("they agreed", () => mine.phase === VerificationPhase.Ready);
    const verifiers = [await mine.startVerification("m.sas.v1")];
    verifiers.push(await until("they compare", () => theirs.verifier));
    const shown = verifiers.map((verifier) => {
        return new Promise((resolve) => verifier.once(VerifierEvent.ShowSas, resolve));
    });
    const verified = Promise.all(verifiers.map((verifier) => verifier.verify()));
    const compare = async () => {
        const [one, other] = await Promise.all(shown);
        assert.deepEqual(one.sas, other.sas);
        await Promise.all([one.confirm(), other.confirm()]);
    };
    await within("they are verified", STEP_MAX_MS, Promise.all([verified, compare()]));
}

/** Waits until the client trusts the user's identity because it was verified. */
function trusts(client, userId) {
    return until("an identity is verified", async () => {
        return (await client.getCrypto().getUserVerificationStatus(userId)).isCrossSigningVerified();
    });
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

/** A new device that proves itself by the recovery key. */
async function addByKey(url, first, recovery, clients) {
    const second = await connect(url, await signIn(url, "alice"), recovery);
    clients.push(second);
    const crypto = second.getCrypto();
    // The public keys come with an answer that follows the first sync; until then the private ones
    // cannot be imported. Applications ask this question before they ask for the recovery key.
    await until("the identity is known", () => crypto.userHasCrossSigningKeys());
    await crypto.bootstrapCrossSigning({});
    await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    assert.ok(await crypto.checkKeyBackupAndEnable());
    await isTrusted(first, second);
    return second;
}

/** A new device that another one vouches for: it asks for the secrets, and gets them. */
async function addByEmoji(url, first, clients) {
    const third = await connect(url, await signIn(url, "alice"), {});
    clients.push(third);
    const crypto = third.getCrypto();
    await until("the identity is known", () => crypto.userHasCrossSigningKeys());
    await until("the first device knows the third", () => device(first, third));
    await verify(() => crypto.requestOwnUserVerification(), first);
    await isTrusted(first, third);
    await until("the secrets were given", async () => {
        const { privateKeysCachedLocally: has } = await crypto.getCrossSigningStatus();
        return has.masterKey && has.selfSigningKey && has.userSigningKey;
    });
    await until("the backup's key was given", () => crypto.getSessionBackupPrivateKey());
    return third;
}

/** What a client knows of another one, by itself. */
async function device(client, other) {
    const found = await client.getCrypto().getUserDeviceInfo([other.getUserId()]);
    return found.get(other.getUserId())?.get(other.getDeviceId());
}

function isTrusted(client, other) {
    return until("a device trusts another", async () => {
        const ids = [other.getUserId(), other.getDeviceId()];
        const status = await client.getCrypto().getDeviceVerificationStatus(...ids);
        return status?.crossSigningVerified;
    });
}

/** The user's keys are others from now on, and whoever had verified them notices. */
async function reset(client, witness) {
    const crypto = client.getCrypto();
    const before = await crypto.getCrossSigningKeyId();
    await crypto.resetEncryption(byPassword("alice"));
    assert.notEqual(await crypto.getCrossSigningKeyId(), before, "the identity is another");
    await until("Bob notices that Alice is another", async () => {
        const status = await witness.getCrypto().getUserVerificationStatus(client.getUserId());
        return status.wasCrossSigningVerified() && !status.isCrossSigningVerified();
    });
}

async function run(server, clients) {
    await server.start();
    const join = async (name, token, recovery) => {
        const client = await connect(server.url, await signUp(server.url, name, token), recovery);
        clients.push(client);
        return client;
    };
    const invitation = () => server.command("registration-token", "create", "--uses", "1");
    const recovery = {};
    const alice = await join("alice", server.firstToken, recovery);
    const bobs = {};
    const bob = await join("bob", await invitation(), bobs);
    const carol = await join("carol", await invitation(), {});

    await setUp(alice, "alice", recovery);
    await setUp(bob, "bob", bobs);
    const roomId = await meet(alice, bob);
    const first = await say(alice, bob, roomId, "For your eyes only");
    await say(bob, alice, roomId, "And for yours: 🔒");
    const ask = () => alice.getCrypto().requestVerificationDM(bob.getUserId(), roomId);
    await verify(ask, bob);
    await trusts(alice, bob.getUserId());
    await trusts(bob, alice.getUserId());
    const group = await meet(carol, alice, bob);
    const all = await say(carol, alice, group, "To everybody");
    await read(bob, group, all, "To everybody");

    await server.kill();
    await server.start();
    await say(alice, bob, roomId, "After the kill");
    await until("the keys are in the backup", async () => {
        // Its own question would be answered from memory.
        const info = await alice.http.authedRequest("GET", "/room_keys/version");
        return info.count >= 3;
    });

    const second = await addByKey(server.url, alice, recovery, clients);
    const restored = await second.getCrypto().restoreKeyBackup();
    assert.ok(restored.imported >= 3, `${restored.imported} keys`);
    const third = await addByEmoji(server.url, alice, clients);
    await third.getCrypto().checkKeyBackupAndEnable();
    await third.getCrypto().restoreKeyBackup();
    for (const client of [second, third]) await read(client, roomId, first, "For your eyes only");
    await until("Bob sees the new devices", async () => {
        return (await device(bob, second)) && (await device(bob, third));
    });
    const late = await bob.sendTextMessage(roomId, "To all");
    for (const client of [alice, second, third]) {
        await read(client, roomId, late.event_id, "To all");
    }
    await reset(second, bob);

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
