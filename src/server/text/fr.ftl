## La ligne de commande

help = Belfry, un serveur Matrix pour les administrations publiques. Sans commande, il sert.
help-serve = Fait tourner le serveur jusqu’à ce qu’on l’arrête
help-status = Montre comment va le serveur en marche
help-stop = Arrête le serveur en marche et attend qu’il ait fini
help-config = La configuration
help-config-check = Dit ce qui ne va pas dans la configuration
help-config-default = Affiche chaque clé avec sa valeur par défaut et son rôle
help-db = La base de données, que le serveur tourne ou soit arrêté
help-db-check = Cherche des dégâts dans la base de données
help-db-stats = Montre combien la base de données contient de quoi
help-db-backup = Copie la base de données dans un nouveau dossier
help-db-restore = Fait d’une sauvegarde la base d’un dossier de données vide ; le serveur doit être arrêté
help-user = Les comptes, que le serveur tourne ou soit arrêté
help-user-create = Crée un compte ; montre son mot de passe s’il a été inventé
help-user-list = Montre les comptes
help-user-reset-password = Change le mot de passe et déconnecte tous les appareils
help-user-lock = Verrouille un compte : il ne peut plus que se déconnecter
help-user-suspend = Suspend un compte : il peut lire et quitter des salons, mais pas écrire
help-user-restore = Met fin à un verrouillage ou à une suspension
help-user-logout = Déconnecte tous les appareils d’un compte
help-user-promote = Fait d’un compte un administrateur
help-user-demote = Fait d’un administrateur un compte ordinaire
help-user-deactivate = Ferme un compte pour toujours
help-registration-token = Les jetons d’inscription : qui en détient un peut créer un compte
help-registration-token-create = Crée un jeton d’inscription et l’affiche
help-registration-token-list = Montre les jetons d’inscription
help-registration-token-revoke = Révoque un jeton d’inscription
help-notice = Ce que le serveur lui-même dit aux utilisateurs
help-notice-send = Dit quelque chose à un utilisateur, dans son salon des avis du serveur ; il faut que le serveur tourne
help-federation = Les autres serveurs ; il faut que le serveur tourne
help-federation-destinations = Liste les autres serveurs : ce qui attend chacun, et depuis quand il ne répond pas
help-federation-reset = Fait réessayer tout de suite un serveur qui ne répondait pas
help-key = La clé qui signe les évènements de ce serveur
help-key-create = Crée la clé s’il n’y en a pas ; utile seulement si elle a été perdue
help-version = Affiche la version

help-usage = Utilisation :
help-commands = Commandes{"\u00A0"}
help-command-name = COMMANDE
help-options = Options{"\u00A0"}
help-arguments = Arguments{"\u00A0"}
help-file-name = FICHIER
help-folder-name = DOSSIER
help-name-name = NOM
help-token-name = JETON
help-text-name = TEXTE
help-server-name = SERVEUR
help-role-name = RÔLE
help-number-name = NOMBRE
help-option-config = Le fichier de configuration ; sans lui, chaque clé a sa valeur par défaut
help-option-lang = La langue de l’affichage (sinon celle de LC_ALL, LC_MESSAGES ou LANG)
help-option-help = Affiche cette aide
help-option-version = Affiche la version
help-option-json = Répond en JSON, pour les programmes
help-option-after = Montre ce qui vient après celui-ci
help-option-role = Le rôle, un nom dans les règles : member ou admin, à moins que vous n’en ayez d’autres
help-option-password-stdin = Lit le mot de passe sur la première ligne de l’entrée standard, au lieu d’en inventer un
help-option-erase = Demande aux autres serveurs d’effacer ce que le compte a envoyé
help-option-uses = Combien de comptes il permet de créer ; sans limite si rien n’est dit
help-option-days = Pour combien de jours il vaut ; pour toujours si rien n’est dit
help-argument-name = Le compte : ada, ou @ada:example.org
help-argument-token = Le jeton d’inscription
help-argument-text = Ce qu’il faut dire, entre guillemets
help-argument-server = Le serveur : example.org, ou matrix.example.org:8448
help-argument-folder = Le dossier de la sauvegarde

usage-unknown-option = L’option { $wrong } n’existe pas. Voir belfry --help.
usage-unknown-option-near = L’option { $wrong } n’existe pas ; vouliez-vous dire { $nearest } ? Voir belfry --help.
usage-unknown-command = La commande { $wrong } n’existe pas. Voir belfry --help.
usage-unknown-command-near = La commande { $wrong } n’existe pas ; vouliez-vous dire { $nearest } ? Voir belfry --help.
usage-missing-command = Il manque une commande après celle-ci. Voir avec --help.
usage-missing-argument = Il manque { $argument }. Voir la commande avec --help.
usage-repeated-option = { $argument } a été donné plusieurs fois. Donnez-le une seule fois.
usage-value = « { $value } » ne peut pas être la valeur de { $argument }. Voir la commande avec --help.

## La configuration

config-valid = La configuration est valable.
config-unreadable = La configuration { $file } ne peut pas être lue : { $cause }.
config-problem = { $file }, ligne { $line } : { $what }
config-syntax = ceci n’est pas du TOML : { $cause }.
config-unknown-key = la clé { $key } n’existe pas.
config-unknown-key-near = la clé { $key } n’existe pas ; vouliez-vous dire { $nearest } ?
config-value = { $key } vaut { $found }, mais doit être { $expected }.
expected-path = un chemin entre guillemets
expected-web-url = une URL entre guillemets qui commence par "https://" ou "http://"
expected-call-uri = une URI entre guillemets qui commence par "turn:", "turns:", "stun:" ou "stuns:"
expected-host = un hôte entre guillemets, comme "www.example.org" ou "*.example.org"
expected-mail-address = une adresse de courrier entre guillemets, comme "help@example.org"
expected-user-id = un identifiant d’utilisateur entre guillemets, comme "@help:example.org"
expected-server-name = un nom de serveur entre guillemets, comme "example.org" ou "matrix.example.org:8448"
expected-number = un nombre entier de { $min } à { $max }
expected-addresses = une liste d’adresses avec ports, comme ["127.0.0.1:8008", "[::1]:8008"]
expected-networks = une liste d’adresses ou de réseaux, comme ["127.0.0.1", "10.0.0.0/8"]
expected-list = une liste entre crochets
expected-former-key = un identifiant de clé, une clé publique en base64 et un nombre, comme "ed25519:a_old bm90IGEga2V5 1700000000000"
expected-public-key = une clé publique ed25519 en base64
expected-shorter = une liste d’au plus { $max }
expected-rate = "off", ou de la forme {"{"} interval_ms = 1000, burst = 10 {"}"}
expected-room-version = une version de salon entre guillemets, de "3" à "12"
expected-word = un de ces mots, entre guillemets : { $words }

secret-unreadable = Le fichier secret { $file } ne peut pas être lu : { $cause }.
secret-exposed = Le fichier secret { $file } a le mode { $mode } : d’autres peuvent le lire, ou son groupe le modifier. Lancez chmod 600 dessus.
secret-too-large = Le fichier secret { $file } est beaucoup trop grand. Est-ce le bon fichier ?
secret-empty = Le fichier secret { $file } est vide, et tout le monde connaît un secret vide. Mettez-y un long texte aléatoire.

## L’exemple de configuration (affiché par `belfry config default`)

config-file =
    La configuration de Belfry. Chaque clé est là avec sa valeur par défaut, en commentaire.
    Les chemins relatifs partent du dossier de ce fichier. « belfry config check » dit ce qui ne va pas.
config-server-name = Le nom de ce serveur : ce qui suit les deux-points de chaque identifiant. La base de données garde le nom avec lequel elle a été créée et en refuse un autre : choisissez avant le premier démarrage.
config-data-folder = Le dossier de la base de données, de la clé de signature et du socket de contrôle. Créé au premier démarrage, pour le seul utilisateur du serveur.
config-signing-key-file = Le fichier de la clé qui signe les évènements de ce serveur, si ce n’est pas signing.key dans le dossier de données. La clé d’un autre serveur est prise telle quelle (« ed25519 a_AbCd » et la graine en base64).
config-worker-threads = Les fils d’exécution qui répondent aux requêtes. Sans valeur : un par processeur.
config-listen = Où l’on joint le serveur.
config-listen-addresses = Les adresses et ports où le serveur parle HTTP, sans TLS : placez un mandataire inverse devant.
config-listen-tls-addresses = Adresses et ports sur lesquels HTTPS est parlé, pour les clients et les autres serveurs ; ces derniers viennent au port 8448 sauf indication contraire.
config-listen-tls-certificate-file = Le certificat présenté, suivi de ceux qui sont au-dessus (PEM). Un fichier renouvelé est pris en une minute, sans redémarrage.
config-listen-tls-key-file = La clé secrète du certificat (PEM).
config-listen-trusted-proxies = Les adresses ou réseaux des mandataires inverses. Seul leur X-Forwarded-For dit où est un client ; sans lui, les limites de débit prennent tous les clients d’un mandataire pour un seul.
config-federation = Les autres serveurs.
config-federation-mode = Si des salons sont partagés avec d’autres serveurs : "on" ou "off". Les autres joignent celui-ci par son nom ; voir listen.tls_addresses.
config-federation-allow-private-networks = Adresses ou réseaux privés qui peuvent être contactés, pour les réseaux fermés. Tous les autres sont refusés, où que mène un nom ou une redirection.
config-federation-authority-files = Fichiers (PEM) d’autorités de certification reconnues en plus de celles du système.
config-federation-notaries = Serveurs à qui demander les clés de signature de ceux qui ne répondent pas.
config-federation-former-signing-keys = Clés avec lesquelles ce serveur signait auparavant, pour que ses anciens événements restent vérifiables : "ed25519:a_old", la partie publique en base64, et le moment du dernier usage en millisecondes depuis 1970.
config-federation-refused-keys = Parties publiques, en base64, de clés de signature dont le secret a fuité : rien de ce qu’elles signent ne compte.
config-federation-retry-max-minutes = Durée maximale pendant laquelle un serveur qui ne répond pas est laissé tranquille avant un nouvel essai.
config-push = Prévenir les téléphones d’une nouvelle, par les passerelles que nomment leurs applications.
config-push-mode = Si les passerelles sont prévenues : "on" ou "off". Elles appartiennent aux éditeurs des applications, sauf si vous exploitez la vôtre, et apprennent quand quelqu’un reçoit un message.
config-push-allow-private-networks = Adresses ou réseaux privés où se trouvent vos propres passerelles. Tous les autres sont refusés, quoi que nomme une application.
config-push-authority-files = Fichiers (PEM) d’autorités de certification reconnues en plus de celles du système.
config-accounts = Les comptes.
config-accounts-presence = S’il faut retenir et montrer qui est là : "on" ou "off".
config-accounts-registration = Qui peut créer un compte : "closed" (les administrateurs seuls), "token" (qui détient un jeton d’inscription) ou "open" (tout le monde).
config-accounts-registration-secret-file = Qui connaît le secret de ce fichier peut créer des comptes, même d’administrateur, par /_synapse/admin/v1/register : pour les scripts d’installation. Sans cette clé, ce point d’accès n’existe pas.
config-accounts-access-token-life-minutes = La durée de validité du jeton d’accès d’un client qui sait le renouveler.
config-accounts-idle-device-days-max = Combien de jours un appareil peut se taire avant d’être déconnecté, avec ses clés et ce qui l’attend. Qui revient plus tard se reconnecte et ne lit les anciens messages chiffrés que par sa sauvegarde de clés. Sans valeur, personne n’est déconnecté pour absence.
config-accounts-password-chars-min = Le plus court mot de passe que l’on peut choisir, en caractères.
config-accounts-password-hash-memory-mib = La mémoire que prend la vérification d’un mot de passe : autant pour qui aurait volé la base de données. Autant de vérifications ont lieu à la fois qu’il y a de processeurs.
config-accounts-password-hash-passes = Combien de fois toute cette mémoire est parcourue : davantage est plus lent pour tous, attaquants compris.
config-rooms = Les salons.
config-rooms-default-version = La version des salons dont le créateur n’en demande aucune. D’anciens serveurs peuvent ignorer la plus récente.
config-rooms-directory-publishing = Qui peut montrer des salons dans l’annuaire public et leur donner des alias : "everybody" (tous, dans les salons où ils en ont le pouvoir), "administrators" (les administrateurs) ou "nobody" (personne).
config-media = Les fichiers qu’envoient les utilisateurs : images, documents, messages vocaux.
config-media-folder = Le dossier des fichiers, si ce n’est pas media dans le dossier de données. Il grandit avec ce qu’envoient les utilisateurs : donnez-lui si possible un disque à lui.
config-media-upload-mib-max = Le plus grand fichier, en Mio. Un mandataire inverse doit en laisser passer autant.
config-media-user-mib-max = Ce qu’un utilisateur peut envoyer en tout, en Mio ; sans cela, autant que le disque contient.
config-media-server-mib-max = Ce que tous les utilisateurs peuvent envoyer ensemble, en Mio ; sans cela, autant que le disque contient.
config-media-remote-mib-max = Le plus grand fichier récupéré d’un autre serveur, en Mio.
config-media-copies-mib-max = Ce que peuvent prendre ensemble les fichiers conservés d’autres serveurs, en Mio. Ceux qui n’ont pas été regardés depuis le plus longtemps partent d’abord ; ils peuvent être récupérés de nouveau.
config-media-copies-unused-days-max = Durée pendant laquelle on conserve les fichiers d’autres serveurs que personne ne regarde, en jours.
config-media-without-token = Ce qu’on répond à qui connaît l’adresse d’un fichier sans avoir de compte ici : "allow" le lui montre, comme il le faut à de très vieux clients ; "refuse" non.
config-previews = Les aperçus de liens : ce serveur récupère les pages vers lesquelles les utilisateurs font un lien et montre leur titre et leur image.
config-previews-mode = S’il y en a : "on" ou "off". Les sites apprennent que quelqu’un d’ici les a regardés, et ce serveur apprend les liens de salons chiffrés si les clients les lui demandent.
config-previews-allowed-hosts = Les seuls hôtes dont les pages sont récupérées ; "*.example.org" désigne tous ceux sous example.org. Si la liste est vide : tous, sauf ceux qui sont refusés.
config-previews-denied-hosts = Hôtes dont les pages ne sont pas récupérées, par exemple ceux de votre propre réseau.
config-previews-allow-private-networks = Adresses ou réseaux privés dont les pages peuvent être récupérées, pour un intranet. Tous les autres sont refusés, où que mène un nom ou une redirection.
config-previews-authority-files = Fichiers (PEM) d’autorités de certification reconnues en plus de celles du système.
config-turn = Les appels. Belfry n’en transporte pas lui-même : il indique aux clients quel serveur TURN utiliser.
config-turn-uris = Les serveurs TURN et STUN, comme ["turn:turn.example.org?transport=udp"].
config-turn-secret-file = Un fichier qui contient le secret que les serveurs TURN partagent avec celui-ci (coturn : static-auth-secret). Sans lui, aucun serveur n’est indiqué.
config-turn-credentials-life-minutes = La durée de validité des identifiants pour les serveurs TURN. Un appel plus long peut s’interrompre.
config-well-known = Ce qui est dit à https://NOM_DU_SERVEUR/.well-known/matrix/, si les requêtes parviennent à Belfry.
config-well-known-client-base-url = Où les clients atteignent le serveur.
config-well-known-server = Où les autres serveurs atteignent celui-ci, si ce n’est pas sur le port 8448 de son nom : un hôte et un port. Le certificat montré là doit être celui de cet hôte.
config-well-known-support-page = Une page pour les personnes qui ont besoin d’aide.
config-well-known-support-email = Où les administrateurs reçoivent du courrier.
config-well-known-support-user = L’identifiant d’un administrateur, de préférence sur un autre serveur.
config-rate-limits = Combien de fois une chose peut se produire : une de plus toutes les interval_ms millisecondes, au plus burst à la fois. "off" supprime une limite.
config-rate-limits-message = Pour chaque utilisateur : évènements envoyés.
config-rate-limits-registration = Pour chaque réseau : comptes créés.
config-rate-limits-registration-token-check = Pour chaque réseau : jetons d’inscription essayés.
config-rate-limits-login-network = Pour chaque réseau : connexions échouées.
config-rate-limits-login-account = Pour chaque compte : connexions, réussies ou non.
config-rate-limits-login-failed = Pour chaque compte : mots de passe faux, d’où qu’ils viennent.
config-rate-limits-room-creation = Pour chaque utilisateur : salons créés.
config-rate-limits-join-local = Pour chaque utilisateur : entrées dans des salons où ce serveur est présent.
config-rate-limits-join-room = Pour chaque salon : entrées.
config-rate-limits-invite-room = Pour chaque salon : invitations.
config-rate-limits-invite-user = Pour chaque utilisateur : invitations reçues.
config-rate-limits-invite-issuer = Pour chaque utilisateur : invitations envoyées.
config-rate-limits-key-claim = Pour chaque utilisateur : réclamations de clés à usage unique.
config-rate-limits-user-directory = Pour chaque utilisateur : recherches d’autres utilisateurs.
config-rate-limits-report = Pour chaque utilisateur : signalements à l’administration.
config-rate-limits-presence = Pour chaque utilisateur : changements de présence.
config-rate-limits-media-create = Pour chaque utilisateur : adresses réservées à des fichiers envoyés plus tard.
config-rate-limits-media-upload = Pour chaque utilisateur : fichiers envoyés.
config-rate-limits-url-preview = Pour chaque utilisateur : aperçus de liens.
config-metrics = Des chiffres pour la supervision, tels que les lit Prometheus.
config-metrics-listen = Adresses et ports sur lesquels ils sont donnés à /metrics, en HTTP sans TLS et à quiconque les demande : ne les ouvrez pas vers l’extérieur. Ils nomment les serveurs avec lesquels celui-ci parle. Si la liste est vide, rien n’est donné.
config-log = Le journal, sur la sortie d’erreur. Il ne contient jamais ce que les gens écrivent, ni de secrets.
config-log-level = Les lignes les moins importantes qui sont écrites : "error", "warn", "info", "debug" ou "trace".
config-log-format = L’aspect d’une ligne : "text" pour les personnes, ou "json" pour les collecteurs de journaux.
config-storage = La base de données embarquée.
config-storage-block-cache-mib = La mémoire pour les lignes lues sur le disque. Davantage accélère les grands serveurs.
config-storage-write-buffer-mib = La mémoire pour les lignes qui ne sont encore que dans le journal. Davantage rend les rafales d’écritures moins coûteuses.
config-storage-read-threads = Les fils d’exécution pour les lectures qui attendent le disque. Un disque rapide peut en servir davantage à la fois.
config-storage-free-disk-min-mib = Tant que le disque a moins d’espace libre, les écritures sont refusées et les lectures continuent ; les écritures reprennent d’elles-mêmes quand l’espace revient.

## La clé de signature

key-present = La clé de signature { $id } est dans { $file }.
key-malformed = { $file } ne contient pas de clé de signature : sa ligne doit être « ed25519 », une version comme « a_AbCd » et la graine de 32 octets en base64.
key-several = { $file } contient plusieurs clés de signature. Gardez celle qui sert et enlevez les autres.
key-lost = Il n’y a pas de clé de signature dans { $file }. Restaurez-la d’une sauvegarde. Si elle est perdue pour de bon, créez-en une nouvelle avec « belfry key create ».
key-unwritable = La clé de signature ne peut pas être écrite dans { $file } : { $cause }. Vérifiez les droits du dossier et l’espace libre.

## Le dossier de données et la base de données

folder-unusable = Le dossier de données { $folder } est inutilisable : { $cause }.
folder-exposed = N’importe qui peut écrire dans le dossier de données { $folder }. Lancez chmod o-w dessus.
folder-owner = La base de données { $folder } appartient à l’utilisateur { $owner }, mais ce processus tourne en tant qu’utilisateur { $own }. Lancez-le avec le même utilisateur (sudo -u).
media-folder-unusable = Le dossier des fichiers des utilisateurs { $folder } est inutilisable : { $cause }. Vérifiez ses droits et l’espace libre.

db-absent = Il n’y a pas de base de données dans { $folder }. Est-ce la bonne configuration ?
db-present = Il y a déjà une base de données dans { $folder }. Déplacez-la d’abord ; rien n’a été changé.
db-locked = La base de données { $folder } est utilisée par un autre processus. Arrêtez-le, ou donnez à celui-ci son propre dossier de données.
db-newer = La base de données { $folder } a été écrite par une version plus récente ({ $what }). Réinstallez cette version, ou restaurez la sauvegarde d’avant la mise à jour. Rien n’a été changé.
db-damaged = La base de données est endommagée : { $what }. Elle n’a pas été ouverte et rien n’a été changé. Vérifiez le disque, puis restaurez une sauvegarde.
db-other-server = La base de données est celle du serveur { $pinned }, mais la configuration dit { $configured }. Un serveur garde son nom pour toujours : corrigez server_name ou data_folder. Rien n’a été changé.
db-not-ours = La base de données { $folder } ne dit pas à quel serveur elle appartient : elle est endommagée, ou n’est pas une base de Belfry.
db-unusable = La base de données { $folder } ne peut pas être ouverte : { $cause }.
db-unreadable = La base de données ne peut pas être lue : { $cause }.
db-busy = Une sauvegarde ou une vérification est déjà en cours. Attendez qu’elle soit finie.
db-closing = Le serveur est en train de s’arrêter. Réessayez quand il sera arrêté.
db-backup-exists = { $folder } existe déjà. Nommez un dossier qui n’existe pas.
db-backup-failed = La sauvegarde ne peut pas être écrite dans { $folder } : { $cause }. Vérifiez l’espace et les droits ; ce qu’il y a d’elle est inutilisable.
db-restore-failed = La sauvegarde { $folder } ne peut pas être restaurée : { $cause }. Rien n’a été changé.
db-restore-refused = La sauvegarde { $folder } n’a pas été restaurée. { $what }
db-restore-running = Un serveur tourne sur { $folder }. Arrêtez-le d’abord.

## Démarrage et arrêt

entropy-missing = Pas de nombres aléatoires : { $cause }.
open-files-too-few = Ce processus ne peut ouvrir que { $limit } fichiers ; il en faut au moins { $min }. Relevez la limite (LimitNOFILE= dans le service, ou ulimit -n).
listen-unbound = Le serveur ne peut pas écouter sur { $address } : { $cause }. Un autre serveur y tourne-t-il ? Voir listen.addresses.
tls-unusable = Le certificat { $certificate } avec la clé { $key } ne peut pas être utilisé : { $cause }.
tls-incomplete = listen.tls_addresses exige listen.tls_certificate_file et listen.tls_key_file.
authority-unusable = Les autorités de certification de { $file } ne peuvent pas être utilisées : { $cause }.
network-unusable = Les autres serveurs ne peuvent pas être joints : { $cause }.
serving = Belfry sert { $name } sur { $url }
first-token = Il n’y a encore aucun compte. Ce jeton d’inscription permet de créer le premier, et ne vaut qu’une fois : { $token }
start-failed = Le serveur ne peut pas démarrer : { $cause }.
not-running = Aucun serveur ne tourne sur { $folder }.
stopped = Le serveur est arrêté.
stop-late = Le serveur n’a pas fini en { $seconds } secondes. Voir son journal.

## Les comptes

account-absent = Il n’y a pas de compte { $name } ici.
account-present = Il y a, ou il y a eu, un compte { $name }. Choisissez un autre nom.
account-name = { $name } ne peut pas être le nom d’un compte : prenez des minuscules, des chiffres, et . _ = - / +
account-deactivated-already = Le compte { $name } a été fermé, et le reste.
password-short = Le mot de passe est trop court : il faut au moins { $min } caractères.
password-long = Le mot de passe est trop long : { $max } octets au plus sont permis.
password-unread = Le mot de passe ne peut pas être lu sur l’entrée standard : { $cause }.
role-unknown = Les règles n’ont pas ce rôle. Voyez les rôles dans les règles.
token-invalid = Un jeton d’inscription se compose de 1 à 64 lettres, chiffres et . _ ~ -
token-present = Ce jeton d’inscription existe déjà.
accounts-unavailable = On ne peut pas travailler avec les comptes en ce moment : { $cause }. Essayez encore ; voyez le journal du serveur.
notice-empty = L’avis ne dit rien. Donnez-lui un texte.
notice-unsent = L’avis n’a pas été envoyé : { $cause }. Essayez encore ; voyez le journal du serveur.

control-unbound = Le socket de contrôle { $socket } ne peut pas être créé : { $cause }.
control-broken = Le serveur qui tourne sur { $folder } ne répond pas : { $cause }. Voir son journal.
control-malformed = Le serveur ne comprend pas la demande ({ $cause }). Est-il d’une autre version que ce programme ?

## Réponses

status-version = Version : { $value }
status-server-name = Nom du serveur : { $value }
status-pid = Processus : { $value }
status-uptime = En marche depuis : { $value } s
status-listening = À l’écoute sur : { $value }
status-signing-key = Clé de signature : { $value }
status-metrics = Chiffres pour la supervision sur : { $value }
status-tasks = Tâches : { $value }
status-panics = Paniques (bogues à signaler) : { $value }

stats-rooms = Salons : { $value }
stats-disk = Tables sur le disque : { $value }
stats-journal = Journal sur le disque : { $value }
stats-free-disk = Espace libre sur le disque : { $value }
stats-cache = Cache de blocs en mémoire : { $value }
stats-write-buffers = Tampons d’écriture en mémoire : { $value }
stats-commits = Transactions depuis l’ouverture : { $value }
stats-conflicts = Transactions refusées par une condition : { $value }
stats-commits-waiting = Transactions en attente : { $value }
stats-background-errors = Travaux de fond échoués : { $value }

column-table = Table
column-rows = Lignes
column-bytes = Taille
column-disk = Sur disque
column-room = Salon
column-state = État
column-joined = Membres
column-extremities = Extrémités

user-created = Le compte { $name } a été créé.
user-password-reset = { $name } a un autre mot de passe ; tous ses appareils sont déconnectés.
user-password = Son mot de passe est { $password }
user-locked = { $name } est verrouillé.
user-suspended = { $name } est suspendu.
user-restored = { $name } n’est ni verrouillé ni suspendu.
user-logged-out = Tous les appareils de { $name } sont déconnectés.
user-promoted = { $name } est administrateur.
user-demoted = { $name } n’est pas administrateur.
user-deactivated = Le compte { $name } est fermé pour toujours.
token-revoked = Le jeton d’inscription { $token } est révoqué.
notice-sent = L’avis a été envoyé à { $name }.
list-more = Il y en a d’autres : voyez-les avec --after et le dernier ci-dessus.
federation-off = Les salons ne sont pas partagés avec d’autres serveurs. Voyez federation.mode.
federation-server = { $server } ne peut pas être le nom d’un serveur. Nommez-le comme les identifiants après les deux-points, par exemple example.org.
destinations-none = Aucun autre serveur n’a été contacté depuis le démarrage, et rien n’attend d’être dit à l’un d’eux.
destination-reset = { $server } est réessayé tout de suite si quelque chose l’attend.
column-server = Serveur
column-queued = Événements
column-passing = Passagers
column-failures = Échecs
column-retry = Encore dans
column-heard = Dernier signe
seconds = { $value } s
catching-up = rattrapage
column-account = Compte
column-token = Jeton
column-role = Rôle
column-uses = Usages
column-standing = État
state-active = actif
state-suspended = suspendu
state-locked = verrouillé
state-deactivated = fermé
state-good = valable
state-spent = épuisé

finding-corrupt = Endommagé : { $what }
finding-undecodable = Une ligne ne peut pas être lue : { $table } { $key } ({ $detail })
finding-dangling = Une ligne renvoie à une ligne qui manque : { $table } { $key } ({ $detail })
finding-orphan = Une ligne n’appartient à rien : { $table } { $key } ({ $detail })
finding-hash = Un contenu ne correspond pas à son empreinte : { $table } { $key } ({ $detail })
finding-state = L’état d’un salon n’est pas ce qu’il devrait être : { $table } { $key } ({ $detail })
finding-member = Les données d’un membre se contredisent : { $table } { $key } ({ $detail })
finding-count = Un compte est faux : { $table } { $key } ({ $detail })
finding-order = Un évènement n’est pas dans le bon ordre : { $table } { $key } ({ $detail })
finding-event = Les données d’un évènement ne lui correspondent pas : { $table } { $key } ({ $detail })
finding-more = et { $count } de plus.
check-clean =
    Aucun dégât trouvé dans { $rows ->
        [one] { $rows } ligne
       *[other] { $rows } lignes
    } ({ $size }).
check-findings =
    { $findings ->
        [one] { $findings } dégât
       *[other] { $findings } dégâts
    } dans { $rows } lignes ({ $size }).
backup-made = La sauvegarde est dans { $folder }. La clé de signature n’y est pas : gardez-en une copie ailleurs.
restored = La sauvegarde est maintenant la base de données { $folder }. La clé de signature ne fait pas partie d’une sauvegarde : remettez-la avant de démarrer le serveur.
