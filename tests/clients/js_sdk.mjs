// matrix-js-sdk against Belfry: two people sign up, meet, chat, and find everything again after a
// restart and after a kill; then they sign out.

import assert from "node:assert/strict";
import {
    ClientEvent,
    createClient,
    InteractiveAuth,
    KnownMembership,
    MatrixError,
    RoomEvent,
    RoomStateEvent,
    SyncState,
} from "matrix-js-sdk";
import { logger as sharedLogger } from "matrix-js-sdk/lib/logger.js";
import { Server, within } from "./server.mjs";

/** How long one step may take: what is waited for comes by a sync, at once. */
const STEP_MAX_MS = 20_000;
/** How long a long-poll lasts if nothing comes: longer than a step, so that each comes by itself. */
const POLL_MS = 60_000;
/** How long all of it may take. */
const ALL_MAX_MS = 120_000;
const PASSWORD = "correct horse battery";

// What clients log is nobody's to read here: what goes wrong is seen by what they do.
const logger = { getChild: () => logger };
for (const level of ["trace", "debug", "info", "warn", "error"]) logger[level] = () => {};
sharedLogger.setLevel("silent");

/** Resolves once `look` gives something, asking it now and whenever the client emits `event`. */
function until(what, client, event, look) {
    const seen = new Promise((resolve) => {
        const ask = () => {
            const found = look();
            if (found) {
                client.off(event, ask);
                resolve(found);
            }
        };
        client.on(event, ask);
        ask();
    });
    return within(what, STEP_MAX_MS, seen);
}

/** Signs up as clients do: asks, is told the stages, gives the token, is let in. */
async function signUp(url, username, token) {
    const anonymous = createClient({ baseUrl: url, logger });
    const stages = [];
    const auth = new InteractiveAuth({
        matrixClient: anonymous,
        doRequest: (dict) =>
            anonymous.registerRequest({
                username,
                password: PASSWORD,
                initial_device_display_name: "js",
                auth: dict ?? undefined,
            }),
        stateUpdated: (stage) => {
            stages.push(stage);
            auth.submitAuthDict({ type: stage, token, session: auth.getSessionId() });
        },
        requestEmailToken: () => assert.fail("nobody asked for an e-mail address"),
    });
    const session = await within(`${username} signs up`, STEP_MAX_MS, auth.attemptAuth());
    // The client passes through m.login.dummy by itself.
    assert.deepEqual(stages, ["m.login.registration_token"]);
    assert.equal(session.user_id, `@${username}:localhost`);
    return session;
}

/** A client of this session that has synced. */
async function connect(url, session) {
    const client = createClient({
        baseUrl: url,
        logger,
        userId: session.user_id,
        deviceId: session.device_id,
        accessToken: session.access_token,
        disableVoip: true,
    });
    const started = client.startClient({
        initialSyncLimit: 50,
        lazyLoadMembers: true,
        pollTimeout: POLL_MS,
    });
    await within("the client starts", STEP_MAX_MS, started);
    const ready = [SyncState.Prepared, SyncState.Syncing];
    await until("the first sync", client, ClientEvent.Sync, () =>
        ready.includes(client.getSyncState()),
    );
    return client;
}

/** Sends and waits until the other has got it by their sync. */
async function say(from, to, roomId, body) {
    const { event_id: id } = await from.sendTextMessage(roomId, body);
    const event = await until(`"${body}" arrives`, to, RoomEvent.Timeline, () =>
        to.getRoom(roomId)?.findEventById(id),
    );
    assert.equal(event.getSender(), from.getUserId());
    assert.equal(event.getContent().body, body);
    return id;
}

/** What was said in the room, as this client has it from its syncs. */
function heard(client, roomId) {
    const events = client.getRoom(roomId).getLiveTimeline().getEvents();
    return events
        .filter((event) => event.getType() === "m.room.message")
        .map((event) => [event.getId(), event.getSender(), event.getContent().body]);
}

/** Alice makes a room, Bob is invited, sees it and joins. */
async function meet(alice, bob) {
    const { room_id: roomId } = await alice.createRoom({
        name: "Council",
        topic: "What is to be done",
        preset: "private_chat",
    });
    await alice.invite(roomId, bob.getUserId());
    const invited = await until("the invitation", bob, ClientEvent.Room, () =>
        bob.getRooms().find((room) => room.getMyMembership() === KnownMembership.Invite),
    );
    assert.equal(invited.roomId, roomId);
    assert.equal(invited.name, "Council");
    await bob.joinRoom(roomId);
    await until("Bob is in", bob, RoomEvent.MyMembership, () => {
        return bob.getRoom(roomId).getMyMembership() === KnownMembership.Join;
    });
    await until("Alice sees Bob", alice, RoomStateEvent.Members, () => {
        const member = alice.getRoom(roomId)?.getMember(bob.getUserId());
        return member?.membership === KnownMembership.Join;
    });
    return roomId;
}

/** The room as both have left it: name, topic, members, messages. */
async function findAgain(client, roomId, said) {
    const room = client.getRoom(roomId);
    assert.ok(room, "the room is gone");
    assert.equal(room.getMyMembership(), KnownMembership.Join);
    assert.equal(room.name, "Council");
    const topic = room.currentState.getStateEvents("m.room.topic", "");
    assert.equal(topic.getContent().topic, "What is to be done");
    const { joined } = await client.getJoinedRoomMembers(roomId);
    assert.deepEqual(Object.keys(joined).sort(), ["@alice:localhost", "@bob:localhost"]);
    assert.deepEqual(heard(client, roomId), said);
}

/** Both with a new client of their old session: nothing is remembered but by the server. */
async function reconnect(server, sessions, roomId, said) {
    const clients = [];
    for (const session of sessions) {
        const client = await connect(server.url, session);
        clients.push(client);
        await findAgain(client, roomId, said);
    }
    return clients;
}

/** A session that has ended is unknown from then on. */
async function signOut(client) {
    client.stopClient();
    await client.logout();
    await assert.rejects(client.whoami(), (error) => {
        assert.ok(error instanceof MatrixError, String(error));
        assert.equal(error.httpStatus, 401);
        assert.equal(error.errcode, "M_UNKNOWN_TOKEN");
        return true;
    });
}

/** Another device, by password. */
async function signIn(url) {
    const anonymous = createClient({ baseUrl: url, logger });
    return anonymous.loginRequest({
        type: "m.login.password",
        identifier: { type: "m.id.user", user: "bob" },
        password: PASSWORD,
    });
}

async function run(server, clients) {
    await server.start();
    assert.ok(server.firstToken, "no registration token was printed");
    const sessions = [await signUp(server.url, "alice", server.firstToken)];
    const token = await server.command("registration-token", "create", "--uses", "1");
    sessions.push(await signUp(server.url, "bob", token));
    for (const session of sessions) clients.push(await connect(server.url, session));
    let [alice, bob] = clients;

    const roomId = await meet(alice, bob);
    const said = [];
    const chat = async (from, to, body) => {
        said.push([await say(from, to, roomId, body), from.getUserId(), body]);
    };
    await chat(alice, bob, "Is the bell rung?");
    await chat(bob, alice, "At noon. Ünïcödé too: 🔔");

    clients.splice(0).forEach((client) => client.stopClient());
    await server.stop();
    await server.start();
    clients.push(...(await reconnect(server, sessions, roomId, said)));
    [alice, bob] = clients;
    await chat(bob, alice, "After the restart");

    clients.splice(0).forEach((client) => client.stopClient());
    const content = { msgtype: "m.text", body: "The last word before the kill" };
    const last = await bob.sendEvent(roomId, "m.room.message", content, "transaction-1");
    await server.kill();
    said.push([last.event_id, bob.getUserId(), content.body]);
    await server.start();
    clients.push(...(await reconnect(server, sessions, roomId, said)));
    [alice, bob] = clients;
    const again = await bob.sendEvent(roomId, "m.room.message", content, "transaction-1");
    assert.equal(again.event_id, last.event_id, "the same transaction is the same event");
    await chat(alice, bob, "After the kill");

    const device = await signIn(server.url);
    assert.notEqual(device.device_id, sessions[1].device_id);
    const second = await connect(server.url, device);
    clients.push(second);
    await findAgain(second, roomId, said);

    for (const client of clients.splice(0)) await signOut(client);
    await server.stop();
    const log = await server.log();
    assert.doesNotMatch(log, /\b(WARN|ERROR)\b/);
    for (const secret of [PASSWORD, token, ...sessions.map((session) => session.access_token)]) {
        assert.ok(!log.includes(secret), "the log tells a secret");
    }
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
// Timers of stopped clients must not keep the process.
process.exit(code);
