//! The text below each command's help: notes, examples and exit statuses.

pub const SERVE: &str = "\
Every setting is also an environment variable, named in brackets; a flag wins over the
environment, and that over a .env file in the working directory. The secret is never a
flag: set JWT_SECRET, or JWT_SECRET_FILE, to what your application signs with. SIGHUP reads
the .env file and the secrets' files again, and keeps every connection.
Times are written 500ms, 15s, 2m or 1h; sizes 4096, 64KiB or 1MiB.

Examples:
  bifrost demo                                   Try it, with no configuration
  JWT_SECRET=$(bifrost secret) bifrost serve     Serve on port 3000
  bifrost --port 8080 --jwt-secret-file secret   The same with flags

Exit status: 0 after SIGTERM or SIGINT, 130 after a second Ctrl-C, which does not
wait for subscribers, 1 when it can't listen or read a file, 2 when a setting is wrong.";

pub const DEMO: &str = "\
It is serve without a configuration: HOST is 127.0.0.1 unless set, the secret is random for this
run unless JWT_SECRET or JWT_SECRET_FILE is set, and another port is taken when 3000 is not free.
It signs tokens for anyone who opens its page, so use it for trying only.

Examples:
  bifrost demo
  bifrost demo --port 8080
  JWT_SECRET=$(bifrost secret) bifrost demo      With a secret that other commands can share

Exit status: 0 after SIGTERM or SIGINT, 130 after a second Ctrl-C, which does not
wait for subscribers, 1 when it can't listen or read a file, 2 when a setting is wrong.";

pub const BIFROST: &str = "\
Without a command, bifrost serves. Every setting is also an environment variable, named in
brackets; a flag wins over the environment, and that over a .env file in the working
directory. The secret is never a flag: set JWT_SECRET, or JWT_SECRET_FILE, to what your
application signs with; JWT_SECRET_PREVIOUS is the one before. BIFROST_URL is the server's
address for the commands that speak to one. Times are written 500ms, 15s, 2m or 1h; sizes
4096, 64KiB or 1MiB.

Examples:
  bifrost demo                                   Try it, with no configuration
  [ -e .env ] || (umask 077; echo JWT_SECRET=$(bifrost secret) > .env)
  bifrost                                        Serve on port 3000
  bifrost listen news                            In another terminal: show what arrives
  bifrost broadcast news --event hi --data you   In a third: send something
  bifrost token inspect \"$TOKEN\"                 Why do I get 400?

Exit status: 0 after SIGTERM or SIGINT, 1 when it can't listen or read a file, 2 when a
setting is wrong. Each command's help lists its own.";

pub const TOKEN: &str = "\
The secret comes from JWT_SECRET, JWT_SECRET_FILE (- is stdin) or a .env file. Tokens are
printed alone on a line, fit for $(…). Each command below has a --help of its own.

Examples:
  bifrost token subscribe user:1 news
  bifrost token broadcast news --event headline --data 'It works'
  bifrost token publisher 'user:*' news --expires 90d
  bifrost token inspect \"$TOKEN\"

Exit status: 0 when done, 1 when a file can't be read, 2 when a setting or an argument is
wrong. inspect has more.";

pub const TOKEN_SUBSCRIBE: &str = "\
A browser sends it after connecting. Its expiry is checked then, and ends no connection later.

Examples:
  bifrost token subscribe user:1 news
  bifrost token subscribe user:1 --expires 5m
  echo '{\"event\":\"authenticate\",\"data\":\"'$(bifrost token subscribe news)'\"}'

Exit status: 0 when done, 1 when a file can't be read, 2 when a setting or an argument is
wrong.";

pub const TOKEN_BROADCAST: &str = "\
Anyone who has it can send this message, any number of times until it expires.

Examples:
  bifrost token broadcast news --event headline --data 'It works'
  bifrost token broadcast news --json '{\"event\":\"score\",\"data\":\"{\\\"home\\\":1}\"}'
  curl -d token=$(bifrost token broadcast news --event hi --data you) localhost:3000/broadcast
  date | bifrost token broadcast clock --event tick --data -

Exit status: 0 when done, 1 when stdin or a file can't be read, 2 when a setting or an
argument is wrong.";

pub const TOKEN_PUBLISHER: &str = "\
The claim is \"broadcast\": the patterns. A pattern is a channel's name, or with a * at its
end all names that begin like it; * alone is every channel. Quote it, or the shell expands it.

Examples:
  bifrost token publisher news
  bifrost token publisher 'user:*' news --expires 90d
  bifrost token publisher '*' --expires never > /etc/bifrost/publisher

Exit status: 0 when done, 1 when a file can't be read, 2 when a setting or an argument is
wrong.";

pub const TOKEN_INSPECT: &str = "\
Prints header, claims and times, what the token is good for, and every reason for which a server
with the settings of this command would refuse it. Without a secret the signature is not
checked. Nothing is sent to any server.

Examples:
  bifrost token inspect eyJhbGciOiJIUzUxMiJ9.eyJjaGFubmVscyI6WyJuZXdzIl19.c2ln
  bifrost token subscribe news | bifrost token inspect
  bifrost token inspect --jwt-algorithm HS256 - < token.txt

Exit status: 0 when a server with these settings would accept it, 1 when it would refuse it or a
file can't be read, 2 when a setting is wrong, 3 when nothing is wrong but there is no secret,
so the signature was not checked.";

pub const BROADCAST: &str = "\
Signs a token that is good for a minute, posts it, and prints how many subscribers the message
was handed to. With --lines, each line on stdin becomes one message's data (with --json -, one
whole message), all over one connection, and one number is printed per message; it ends at the
first that fails. Plain HTTP only: for https:// use curl with `bifrost token broadcast`. It
follows no redirects, and uses no proxy from the environment.

Examples:
  bifrost broadcast user:1 --event new_item --data '{\"id\":7}'
  bifrost broadcast news --json '{\"event\":\"score\",\"data\":\"1:0\"}'
  uptime | bifrost broadcast status --event uptime --data -
  tail -f app.log | bifrost broadcast log --event line --lines
  bifrost broadcast news --event hi --url http://10.0.0.5:3000

Exit status: 0 when sent, also when nobody is subscribed; 1 when the server can't be reached or
refuses it, or a file can't be read; 2 when a setting or an argument is wrong.";

pub const LISTEN: &str = "\
Each message is one line on stdout, as the application wrote it. With several channels a line
does not show its channel: the protocol does not name it. Notes about the connection go to
stderr. A lost connection is opened again with a fresh token, after pauses that grow from half a
second to half a minute; messages that were sent meanwhile are lost. Plain ws:// only. It ends
with Ctrl-C, or when the program that reads its output ends.

Examples:
  bifrost listen user:1 news
  bifrost listen news --count 1                  Wait for one message
  bifrost listen news | jq .data
  bifrost listen news --url ws://10.0.0.5:3000
  curl -s https://app.example.com/token | bifrost listen --token-file -

Exit status: 0 after Ctrl-C, SIGTERM, --count messages or when its output is closed; 1 when the
first connection fails, the server refuses the token or the channels, or a file can't be read; 2
when a setting or an argument is wrong.";

pub const SECRET: &str = "\
64 hexadecimal characters, 256 random bits from the kernel.

Examples:
  export JWT_SECRET=$(bifrost secret)
  (umask 077; bifrost secret > /etc/bifrost/secret)

Exit status: 0 when done, 1 when it can't be written.";

pub const CHECK: &str = "\
Reads the same flags, environment and .env file as serve, names every setting that is wrong, and
prints each setting's value and where it comes from; of a secret only its length. It checks that
the address can be used, but not the port, so that it can run beside the server.

Examples:
  bifrost check
  bifrost check && kill -HUP $SERVER             In the folder and environment of the server
  bifrost check --port 8080 --jwt-secret-file secret

Exit status: 0 when serve would start, with or without warnings; 1 when a file can't be read or
the address can't be used; 2 when a setting is wrong.";

pub const HEALTH: &str = "\
Prints one line. Unless a URL is given, it asks the server on this machine that HOST and PORT
name. It needs no secret.

Examples:
  bifrost health
  bifrost health --live
  bifrost health --url http://10.0.0.5:3000 || echo down

Exit status: 0 when it is well, 1 when it is not ready or can't be reached, 2 when a setting or
an argument is wrong.";

pub const COMPLETIONS: &str = "\
Examples:
  bifrost completions bash > /etc/bash_completion.d/bifrost
  bifrost completions zsh > /usr/local/share/zsh/site-functions/_bifrost
  bifrost completions fish > ~/.config/fish/completions/bifrost.fish
  source <(bifrost completions bash)             For this shell alone

Exit status: 0 when done, 1 when it can't be written, 2 when the shell is unknown.";

pub const MAN: &str = "\
Without an argument, it prints bifrost.1, the page of the commands. PAGE is a page of the manual,
as a man page of section 7.

Examples:
  bifrost man | man -l -                         Read it
  bifrost man > /usr/local/share/man/man1/bifrost.1
  bifrost man protocol | man -l -                Read the page of the manual about the protocol
  bifrost man operating > /usr/local/share/man/man7/bifrost-operating.7

Exit status: 0 when done, 1 when it can't be written, 2 when there is no such page.";

pub const UNIT: &str = "\
The service takes the secret from /etc/bifrost/secret and settings from
/etc/bifrost/bifrost.env; the socket unit holds the port, so that a restart refuses no connection.

Examples:
  bifrost unit service > /etc/systemd/system/bifrost.service
  bifrost unit socket > /etc/systemd/system/bifrost.socket

Exit status: 0 when done, 1 when it can't be written.";
