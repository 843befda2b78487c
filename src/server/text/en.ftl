## The command line

help = Belfry, a Matrix homeserver for public administrations. Without a command it serves.
help-serve = Runs the server until it is told to stop
help-status = Shows how the running server does
help-stop = Stops the running server and waits until it has ended
help-config = The configuration
help-config-check = Says what is wrong with the configuration
help-config-default = Prints every key with its default and what it is for
help-db = The database; works while the server runs and while it is stopped
help-db-check = Looks for damage in the database
help-db-stats = Shows how much of what is in the database
help-db-backup = Copies the database into a new folder
help-db-restore = Makes a backup the database of an empty data folder; the server must be stopped
help-user = Accounts; works while the server runs and while it is stopped
help-user-create = Makes an account; shows its password if it was made up
help-user-list = Lists accounts
help-user-reset-password = Sets another password and signs every device out
help-user-lock = Locks an account: it can do nothing but sign out
help-user-suspend = Suspends an account: it can read and leave rooms, but not write
help-user-restore = Ends a lock or a suspension
help-user-logout = Signs every device of an account out
help-user-promote = Makes an account an administrator
help-user-demote = Makes an administrator an ordinary account
help-user-deactivate = Closes an account for ever
help-registration-token = Registration tokens: who holds one may make an account
help-registration-token-create = Makes a registration token and prints it
help-registration-token-list = Lists registration tokens
help-registration-token-revoke = Revokes a registration token
help-notice = What the server itself tells users
help-notice-send = Tells a user something, in their room of server notices; needs the running server
help-federation = Other servers; needs the running server
help-federation-destinations = Lists other servers: what waits for each, and since when it does not answer
help-federation-reset = Has a server that did not answer tried again now
help-key = The key that signs this server's events
help-key-create = Makes the key if there is none; only needed if it was lost
help-version = Prints the version

help-usage = Usage:
help-commands = Commands
help-command-name = COMMAND
help-options = Options
help-arguments = Arguments
help-file-name = FILE
help-folder-name = FOLDER
help-name-name = NAME
help-token-name = TOKEN
help-text-name = TEXT
help-server-name = SERVER
help-role-name = ROLE
help-number-name = NUMBER
help-option-config = The configuration file; without it every key has its default
help-option-lang = The language of the output (else as in LC_ALL, LC_MESSAGES or LANG)
help-option-help = Prints this help
help-option-version = Prints the version
help-option-json = Answers in JSON, for programs
help-option-after = Lists what comes behind this one
help-option-role = The role, a name in the rules: member or admin, unless you have others
help-option-password-stdin = Reads the password from the first line of standard input, instead of making one up
help-option-erase = Asks other servers to erase what the account sent
help-option-uses = How many accounts may be made with it; any number if not given
help-option-days = For how many days it is good; for ever if not given
help-argument-name = The account: ada, or @ada:example.org
help-argument-token = The registration token
help-argument-text = What to say, in quotes
help-argument-server = The server: example.org, or matrix.example.org:8448
help-argument-folder = The folder of the backup

usage-unknown-option = There is no option { $wrong }. See belfry --help.
usage-unknown-option-near = There is no option { $wrong }; did you mean { $nearest }? See belfry --help.
usage-unknown-command = There is no command { $wrong }. See belfry --help.
usage-unknown-command-near = There is no command { $wrong }; did you mean { $nearest }? See belfry --help.
usage-missing-command = A command is missing after this one. See it with --help.
usage-missing-argument = { $argument } is missing. See the command with --help.
usage-repeated-option = { $argument } was given more than once. Give it once.
usage-value = "{ $value }" cannot be the value of { $argument }. See the command with --help.

## The configuration

config-valid = The configuration is valid.
config-unreadable = The configuration { $file } cannot be read: { $cause }.
config-problem = { $file }, line { $line }: { $what }
config-syntax = this is not TOML: { $cause }.
config-unknown-key = there is no key { $key }.
config-unknown-key-near = there is no key { $key }; did you mean { $nearest }?
config-value = { $key } is { $found }, but must be { $expected }.
expected-path = a path in quotes
expected-web-url = a URL in quotes that begins with "https://" or "http://"
expected-call-uri = a URI in quotes that begins with "turn:", "turns:", "stun:" or "stuns:"
expected-host = a host in quotes, such as "www.example.org" or "*.example.org"
expected-mail-address = a mail address in quotes, such as "help@example.org"
expected-user-id = a user ID in quotes, such as "@help:example.org"
expected-server-name = a server name in quotes, such as "example.org" or "matrix.example.org:8448"
expected-number = a whole number from { $min } to { $max }
expected-addresses = a list of addresses with ports, such as ["127.0.0.1:8008", "[::1]:8008"]
expected-networks = a list of addresses or networks, such as ["127.0.0.1", "10.0.0.0/8"]
expected-list = a list in brackets
expected-former-key = a key ID, a public key in base64 and a number, such as "ed25519:a_old bm90IGEga2V5 1700000000000"
expected-public-key = an ed25519 public key in base64
expected-shorter = a list of at most { $max }
expected-rate = "off", or like {"{"} interval_ms = 1000, burst = 10 {"}"}
expected-room-version = a room version in quotes, from "3" to "12"
expected-word = one of these words, in quotes: { $words }

secret-unreadable = The secret file { $file } cannot be read: { $cause }.
secret-exposed = The secret file { $file } has mode { $mode }: others may read it or its group may change it. Run chmod 600 on it.
secret-too-large = The secret file { $file } is far too large. Is it the right file?
secret-empty = The secret file { $file } is empty, and everybody knows an empty secret. Write a long random text into it.

## The sample configuration (printed by `belfry config default`)

config-file =
    The configuration of Belfry. Every key stands here with its default, commented out.
    Relative paths count from this file's folder. "belfry config check" says what is wrong.
config-server-name = The name of this server: what stands behind the colon of every user id. The database keeps the name it was made with and refuses another, so choose before the first start.
config-data-folder = The folder of the database, the signing key and the control socket. Made at first start, for the server's own user only.
config-signing-key-file = The file of the key that signs this server's events, if it is not to be signing.key in the data folder. A key of another homeserver is taken as it is ("ed25519 a_AbCd" and the seed in base64).
config-worker-threads = Threads that answer requests. If unset: one for each processor.
config-listen = Where the server is reached.
config-listen-addresses = Addresses and ports on which HTTP is spoken, without TLS: put a reverse proxy in front of it.
config-listen-tls-addresses = Addresses and ports on which HTTPS is spoken, for clients and for other servers; others come to port 8448 unless they are told differently.
config-listen-tls-certificate-file = The certificate that is shown there, followed by those above it (PEM). A renewed file is taken within a minute, without a restart.
config-listen-tls-key-file = The certificate's secret key (PEM).
config-listen-trusted-proxies = Addresses or networks of the reverse proxies. Only their X-Forwarded-For says where a client is; without it, rate limits take all clients of a proxy for one.
config-federation = Other servers.
config-federation-mode = Whether rooms are shared with other servers: "on" or "off". Others reach this one by the name of this server; see listen.tls_addresses.
config-federation-allow-private-networks = Private addresses or networks that may be dialled, for closed networks. All others are refused, wherever a name or a redirect leads.
config-federation-authority-files = Files (PEM) with certificate authorities that are believed besides those of the system.
config-federation-notaries = Servers that are asked for the signing keys of those that do not answer.
config-federation-former-signing-keys = Keys that this server signed with before, so that its old events can still be checked: "ed25519:a_old", the public half in base64, and when it was last used in milliseconds since 1970.
config-federation-refused-keys = Public halves, in base64, of signing keys whose secret half is known to have leaked: nothing signed with them counts.
config-federation-retry-max-minutes = How long a server that does not answer is left alone at most before it is tried again.
config-push = Telling telephones that something came, by the push gateways that their apps name.
config-push-mode = Whether push gateways are told: "on" or "off". They belong to the makers of apps unless you run your own, and learn when somebody gets a message.
config-push-allow-private-networks = Private addresses or networks in which your own push gateways are. All others are refused, whatever an app names.
config-push-authority-files = Files (PEM) with certificate authorities that are believed besides those of the system.
config-accounts = Accounts.
config-accounts-presence = Whether to keep and tell who is there: "on" or "off".
config-accounts-registration = Who may make an account: "closed" (administrators only), "token" (whoever holds a registration token) or "open" (everybody).
config-accounts-registration-secret-file = Whoever knows the secret in this file may make accounts, administrators too, by /_synapse/admin/v1/register: for scripts that set servers up. If unset, there is no such endpoint.
config-accounts-access-token-life-minutes = How long the access token of a client that can refresh it is good.
config-accounts-idle-device-days-max = How long a device may be silent before it is signed out, with its keys and what waits for it. Who comes back later signs in anew, and reads older encrypted messages only from their key backup. If unset, nobody is signed out for being away.
config-accounts-password-chars-min = The shortest password that may be chosen, in characters.
config-accounts-password-hash-memory-mib = Memory that checking one password takes: as much for an attacker who stole the database. As many are checked at a time as there are processors.
config-accounts-password-hash-passes = How often all of that memory is passed over: more is slower for everybody, attackers included.
config-rooms = Rooms.
config-rooms-default-version = The version of rooms whose creator asks for none. Older servers may not know the newest.
config-rooms-directory-publishing = Who may show rooms in the public directory and give them aliases: "everybody" (of rooms in which they have the power to), "administrators" or "nobody".
config-media = Files that users send: pictures, documents, voice messages.
config-media-folder = The folder of the files, if it is not to be media in the data folder. It grows with what users send: give it a disk of its own if you can.
config-media-upload-mib-max = The largest file, in MiB. A reverse proxy must let as much through.
config-media-user-mib-max = What one user may send all together, in MiB; without it, as much as the disk holds.
config-media-server-mib-max = What all users may send together, in MiB; without it, as much as the disk holds.
config-media-remote-mib-max = The largest file that is fetched from another server, in MiB.
config-media-copies-mib-max = What all files of other servers that are kept may take together, in MiB. Those that were not looked at for longest go first; they can be fetched again.
config-media-copies-unused-days-max = How long files of other servers are kept that nobody looks at, in days.
config-media-without-token = What is answered to those who know a file's address but have no account here: "allow" shows them the file, as very old clients need; "refuse" does not.
config-previews = Previews of links: this server fetches the pages that users link to and shows their title and picture.
config-previews-mode = Whether there are any: "on" or "off". The sites learn that somebody here looked at them, and this server learns of links in encrypted rooms if clients ask for them.
config-previews-allowed-hosts = The only hosts whose pages are fetched; "*.example.org" stands for all below example.org. If empty: all but those that are denied.
config-previews-denied-hosts = Hosts whose pages are not fetched, for instance those of your own network.
config-previews-allow-private-networks = Private addresses or networks whose pages may be fetched, for an intranet. All others are refused, wherever a name or a redirect leads.
config-previews-authority-files = Files (PEM) with certificate authorities that are believed besides those of the system.
config-turn = Calls. Belfry carries none itself: it tells clients which TURN server to use.
config-turn-uris = TURN and STUN servers, such as ["turn:turn.example.org?transport=udp"].
config-turn-secret-file = A file that holds the secret which the TURN servers share with this one (coturn: static-auth-secret). Without it no servers are told.
config-turn-credentials-life-minutes = How long credentials for the TURN servers are good. A call that lasts longer may break off.
config-well-known = What is told at https://SERVER_NAME/.well-known/matrix/, if requests for it reach Belfry.
config-well-known-client-base-url = Where clients reach the server.
config-well-known-server = Where other servers reach the server, if not on port 8448 of its name: a host and a port. What is shown there must be a certificate for that host.
config-well-known-support-page = A page for people who need help.
config-well-known-support-email = Where the administrators get mail.
config-well-known-support-user = The user ID of an administrator, best on another server.
config-rate-limits = How often something may happen: one more each interval_ms milliseconds, at most burst at once. "off" switches a limit off.
config-rate-limits-message = For each user: events sent.
config-rate-limits-registration = For each network: accounts made.
config-rate-limits-registration-token-check = For each network: registration tokens tried.
config-rate-limits-login-network = For each network: failed sign-ins.
config-rate-limits-login-account = For each account: sign-ins, successful or not.
config-rate-limits-login-failed = For each account: wrong passwords, wherever from.
config-rate-limits-room-creation = For each user: rooms created.
config-rate-limits-join-local = For each user: joins of rooms that this server is in.
config-rate-limits-join-room = For each room: joins.
config-rate-limits-invite-room = For each room: invitations.
config-rate-limits-invite-user = For each user: invitations received.
config-rate-limits-invite-issuer = For each user: invitations sent.
config-rate-limits-key-claim = For each user: claims of one-time keys.
config-rate-limits-user-directory = For each user: searches for other users.
config-rate-limits-report = For each user: reports to the administration.
config-rate-limits-presence = For each user: changes of presence.
config-rate-limits-media-create = For each user: addresses reserved for files that are sent later.
config-rate-limits-media-upload = For each user: files sent.
config-rate-limits-url-preview = For each user: previews of links.
config-metrics = Figures for monitoring, as Prometheus reads them.
config-metrics-listen = Addresses and ports on which they are told at /metrics, over HTTP without TLS and to whoever asks: keep them from the outside. They name the servers that this one speaks to. If empty, nothing is told.
config-log = The log, on standard error. It never holds what people write, nor secrets.
config-log-level = The least important lines that are written: "error", "warn", "info", "debug" or "trace".
config-log-format = How a line looks: "text" for people, or "json" for log collectors.
config-storage = The embedded database.
config-storage-block-cache-mib = Memory for rows that were read from disk. More makes large servers faster.
config-storage-write-buffer-mib = Memory for rows that are in the journal only. More makes bursts of writes cheaper.
config-storage-read-threads = Threads for reads that wait for the disk. A fast disk can serve more at a time.
config-storage-free-disk-min-mib = While the disk has less free space than this, writes are refused and reads go on; writes return by themselves when space does.

## The signing key

key-present = The signing key { $id } is in { $file }.
key-malformed = { $file } holds no signing key: its line must be "ed25519", a version such as "a_AbCd" and the seed of 32 bytes in base64.
key-several = { $file } holds more than one signing key. Keep the one in use and remove the others.
key-lost = There is no signing key in { $file }. Restore it from a backup. If it is lost for good, make a new one with "belfry key create".
key-unwritable = The signing key cannot be written to { $file }: { $cause }. Check the folder's rights and free space.

## The data folder and the database

folder-unusable = The data folder { $folder } cannot be used: { $cause }.
folder-exposed = Anybody may write in the data folder { $folder }. Run chmod o-w on it.
folder-owner = The database { $folder } belongs to user { $owner }, but this process runs as user { $own }. Run it as the same user (sudo -u).
media-folder-unusable = The folder of users’ files { $folder } cannot be used: { $cause }. Check its rights and free space.

db-absent = There is no database in { $folder }. Is it the right configuration?
db-present = There is a database in { $folder } already. Move it away first; nothing was changed.
db-locked = The database { $folder } is in use by another process. Stop that one, or give this one a data folder of its own.
db-newer = The database { $folder } was written by a newer version ({ $what }). Install that version again, or restore the backup made before the upgrade. Nothing was changed.
db-damaged = The database is damaged: { $what }. It was not opened and nothing was changed. Check the disk, then restore a backup.
db-other-server = The database is that of the server { $pinned }, but the configuration says { $configured }. A server keeps its name for ever: correct server_name or data_folder. Nothing was changed.
db-not-ours = The database { $folder } does not say which server it belongs to: it is damaged, or not a database of Belfry.
db-unusable = The database { $folder } cannot be opened: { $cause }.
db-unreadable = The database cannot be read: { $cause }.
db-busy = A backup or a check is under way already. Wait until it is done.
db-closing = The server is stopping. Try again once it has stopped.
db-backup-exists = { $folder } exists already. Name a folder that does not.
db-backup-failed = The backup cannot be written to { $folder }: { $cause }. Check the space and rights there; what there is of it is of no use.
db-restore-failed = The backup { $folder } cannot be restored: { $cause }. Nothing was changed.
db-restore-refused = The backup { $folder } was not restored. { $what }
db-restore-running = A server runs on { $folder }. Stop it first.

## Starting and stopping

entropy-missing = No random numbers: { $cause }.
open-files-too-few = This process may open only { $limit } files; at least { $min } are needed. Raise the limit (LimitNOFILE= in the service, or ulimit -n).
listen-unbound = The server cannot listen on { $address }: { $cause }. Is another server running there? See listen.addresses.
tls-unusable = The certificate { $certificate } with the key { $key } cannot be used: { $cause }.
tls-incomplete = listen.tls_addresses needs listen.tls_certificate_file and listen.tls_key_file.
authority-unusable = The certificate authorities in { $file } cannot be used: { $cause }.
network-unusable = Other servers cannot be reached: { $cause }.
serving = Belfry serves { $name } on { $url }
first-token = There is no account yet. This registration token makes the first one, and is good once: { $token }
start-failed = The server cannot start: { $cause }.
not-running = No server runs on { $folder }.
stopped = The server has stopped.
stop-late = The server has not ended within { $seconds } seconds. See its log.

## Accounts

account-absent = There is no account { $name } here.
account-present = There is, or was, an account { $name } already. Choose another name.
account-name = { $name } cannot be the name of an account: use small letters, digits, and . _ = - / +
account-deactivated-already = The account { $name } was deactivated, and stays so.
password-short = The password is too short: at least { $min } characters are needed.
password-long = The password is too long: at most { $max } bytes are allowed.
password-unread = The password cannot be read from standard input: { $cause }.
role-unknown = The rules have no such role. See the roles in the rules.
token-invalid = A registration token is 1 to 64 letters, digits and . _ ~ -
token-present = There is such a registration token already.
accounts-unavailable = The accounts cannot be worked with now: { $cause }. Try again; see the log of the server.
notice-empty = There is nothing to say in the notice. Give it a text.
notice-unsent = The notice was not sent: { $cause }. Try again; see the log of the server.

control-unbound = The control socket { $socket } cannot be made: { $cause }.
control-broken = The server that runs on { $folder } does not answer: { $cause }. See its log.
control-malformed = The server does not understand the request ({ $cause }). Is it of another version than this program?

## Answers

status-version = Version: { $value }
status-server-name = Server name: { $value }
status-pid = Process: { $value }
status-uptime = Running for: { $value } s
status-listening = Listening on: { $value }
status-signing-key = Signing key: { $value }
status-metrics = Figures for monitoring on: { $value }
status-tasks = Tasks: { $value }
status-panics = Panics (bugs to report): { $value }

stats-rooms = Rooms: { $value }
stats-disk = Tables on disk: { $value }
stats-journal = Journal on disk: { $value }
stats-free-disk = Free space on the disk: { $value }
stats-cache = Block cache in memory: { $value }
stats-write-buffers = Write buffers in memory: { $value }
stats-commits = Commits since it was opened: { $value }
stats-conflicts = Commits refused by a check: { $value }
stats-commits-waiting = Commits that wait: { $value }
stats-background-errors = Failed background work: { $value }

column-table = Table
column-rows = Rows
column-bytes = Size
column-disk = On disk
column-room = Room
column-state = State
column-joined = Joined
column-extremities = Extremities

user-created = The account { $name } has been made.
user-password-reset = { $name } has another password; all its devices are signed out.
user-password = Its password is { $password }
user-locked = { $name } is locked.
user-suspended = { $name } is suspended.
user-restored = { $name } is neither locked nor suspended.
user-logged-out = All devices of { $name } are signed out.
user-promoted = { $name } is an administrator.
user-demoted = { $name } is no administrator.
user-deactivated = The account { $name } is closed for ever.
token-revoked = The registration token { $token } is revoked.
notice-sent = { $name } has been told.
list-more = There are more: see them with --after and the last one above.
federation-off = Rooms are not shared with other servers. See federation.mode.
federation-server = { $server } cannot be the name of a server. Name it as user IDs do behind the colon, such as example.org.
destinations-none = No other server was spoken to since the start, and none is to be told anything.
destination-reset = { $server } is tried again now if anything waits for it.
column-server = Server
column-queued = Events
column-passing = Passing
column-failures = Failures
column-retry = Again in
column-heard = Last heard
seconds = { $value } s
catching-up = catching up
column-account = Account
column-token = Token
column-role = Role
column-uses = Uses
column-standing = State
state-active = active
state-suspended = suspended
state-locked = locked
state-deactivated = deactivated
state-good = good
state-spent = spent

finding-corrupt = Damaged: { $what }
finding-undecodable = A row cannot be read: { $table } { $key } ({ $detail })
finding-dangling = A row refers to one that is missing: { $table } { $key } ({ $detail })
finding-orphan = A row belongs to nothing: { $table } { $key } ({ $detail })
finding-hash = Content does not match its hash: { $table } { $key } ({ $detail })
finding-state = A room’s state is not as it should be: { $table } { $key } ({ $detail })
finding-member = What is stored of a member does not agree: { $table } { $key } ({ $detail })
finding-count = A count is wrong: { $table } { $key } ({ $detail })
finding-order = An event is in the wrong order: { $table } { $key } ({ $detail })
finding-event = What is stored of an event does not match it: { $table } { $key } ({ $detail })
finding-more = and { $count } more.
check-clean =
    No damage found in { $rows ->
        [one] { $rows } row
       *[other] { $rows } rows
    } ({ $size }).
check-findings =
    { $findings ->
        [one] { $findings } finding
       *[other] { $findings } findings
    } in { $rows } rows ({ $size }).
backup-made = The backup is in { $folder }. The signing key is not in it: keep a copy of that elsewhere.
restored = The backup is now the database { $folder }. The signing key is not part of a backup: put it back before the server starts.
