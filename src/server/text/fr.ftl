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
help-option-config = Le fichier de configuration ; sans lui, chaque clé a sa valeur par défaut
help-option-lang = La langue de l’affichage (sinon celle de LC_ALL, LC_MESSAGES ou LANG)
help-option-help = Affiche cette aide
help-option-version = Affiche la version
help-option-json = Répond en JSON, pour les programmes
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
expected-server-name = un nom de serveur entre guillemets, comme "example.org" ou "matrix.example.org:8448"
expected-number = un nombre entier de { $min } à { $max }
expected-word = un de ces mots, entre guillemets : { $words }

secret-unreadable = Le fichier secret { $file } ne peut pas être lu : { $cause }.
secret-exposed = Le fichier secret { $file } a le mode { $mode } : d’autres peuvent le lire, ou son groupe le modifier. Lancez chmod 600 dessus.
secret-too-large = Le fichier secret { $file } est beaucoup trop grand. Est-ce le bon fichier ?

## L’exemple de configuration (affiché par `belfry config default`)

config-file =
    La configuration de Belfry. Chaque clé est là avec sa valeur par défaut, en commentaire.
    Les chemins relatifs partent du dossier de ce fichier. « belfry config check » dit ce qui ne va pas.
config-server-name = Le nom de ce serveur : ce qui suit les deux-points de chaque identifiant. La base de données garde le nom avec lequel elle a été créée et en refuse un autre : choisissez avant le premier démarrage.
config-data-folder = Le dossier de la base de données, de la clé de signature et du socket de contrôle. Créé au premier démarrage, pour le seul utilisateur du serveur.
config-signing-key-file = Le fichier de la clé qui signe les évènements de ce serveur, si ce n’est pas signing.key dans le dossier de données. La clé d’un autre serveur est prise telle quelle (« ed25519 a_AbCd » et la graine en base64).
config-worker-threads = Les fils d’exécution qui répondent aux requêtes. Sans valeur : un par processeur.
config-log = Le journal, sur la sortie d’erreur. Il ne contient jamais ce que les gens écrivent, ni de secrets.
config-log-level = Les lignes les moins importantes qui sont écrites : "error", "warn", "info", "debug" ou "trace".
config-log-format = L’aspect d’une ligne : "text" pour les personnes, ou "json" pour les collecteurs de journaux.
config-storage = La base de données embarquée.
config-storage-block-cache-mib = La mémoire pour les lignes lues sur le disque. Davantage accélère les grands serveurs.

## La clé de signature

key-present = La clé de signature { $id } est dans { $file }.
key-malformed = { $file } ne contient pas de clé de signature : sa ligne doit être « ed25519 », une version comme « a_AbCd » et la graine de 32 octets en base64.
key-several = { $file } contient plusieurs clés de signature. Gardez celle qui sert et enlevez les autres.
key-unwritable = La clé de signature ne peut pas être écrite dans { $file } : { $cause }. Vérifiez les droits du dossier et l’espace libre.

## Démarrage et arrêt

entropy-missing = Pas de nombres aléatoires : { $cause }.
open-files-too-few = Ce processus ne peut ouvrir que { $limit } fichiers ; il en faut au moins { $min }. Relevez la limite (LimitNOFILE= dans le service, ou ulimit -n).
stop-late = Le serveur n’a pas fini en { $seconds } secondes. Voir son journal.

control-unbound = Le socket de contrôle { $socket } ne peut pas être créé : { $cause }.
control-broken = Le serveur qui tourne sur { $folder } ne répond pas : { $cause }. Voir son journal.
control-malformed = Le serveur ne comprend pas la demande ({ $cause }). Est-il d’une autre version que ce programme ?
