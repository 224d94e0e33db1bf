//! What stands below the help of each command.

pub(super) const EXAMPLES: &str = "\
Examples:
  modmesh up                              serve this host's go command
  modmesh setup                           make go use it; --undo takes it back
  modmesh doctor                          does it work, and why not
  modmesh run -- go build ./...           one build through modmesh, nothing to set up
  modmesh status                          what is here, and where it came from
  modmesh peers                           who is near
  modmesh explain MODULE@VERSION          what is here of it, where it came from, and why not
  modmesh secret new                      a mesh of your own: members alone are dealt with
  modmesh sumdb                           the checksum databases, and what to do when one contradicts itself

Errors are one line on stderr. Exit codes: 0 done, 1 failed, 2 wrong usage.";

pub(super) const UP_EXAMPLES: &str = "\
Each flag has a variable (--peer-listen: MODMESH_PEER_LISTEN, lists with commas) and a key in the configuration \
file (peer-listen = [\"10.0.0.7:8485\"]). Flags come before variables, then the file, then go env, then the default; \
modmesh config shows which one it was.

Examples:
  modmesh up
  modmesh up --store-limit 50GiB --private 'git.corp.example/*'
  modmesh up --upstream https://goproxy.corp.example,direct --sumdb off
  modmesh up --limit-upload 20Mbit/s --limit-upstream 5MiB/s
  modmesh up --upstream off --peer /ip4/10.1.0.7/tcp/8485
  modmesh up --site berlin --peer /dns4/hq.corp.example/tcp/8485 --site-budget 5GiB
  modmesh up --mesh-secret-file ~/.config/modmesh/mesh-secret
  modmesh up --offline";

pub(super) const RUN_EXAMPLES: &str = "\
GOPROXY is set to the daemon's address alone, for this command only; modmesh ends with its exit code. When no \
daemon answers, one is started in the background; it ends after 10 minutes without a request. The go.sum of the \
project vouches at the daemon, for this host alone, for what the checksum database says nothing of. It is found from the \
folder that this command is started in: not for `go -C DIR`, nor where COMMAND changes its folder.

Examples:
  modmesh run -- go build ./...
  modmesh run -- make test";

pub(super) const STATUS_EXAMPLES: &str = "\
Examples:
  modmesh status
  modmesh status --json
  modmesh status --listen 127.0.0.1:9090";

pub(super) const PEERS_EXAMPLES: &str = "\
Examples:
  modmesh peers
  modmesh peers --json";

pub(super) const EXPLAIN_EXAMPLES: &str = "\
The daemon is asked over a socket in its state folder, which its own user alone can reach.

Examples:
  modmesh explain golang.org/x/text@v0.14.0
  modmesh explain github.com/BurntSushi/toml@v0.3.1 --json
  modmesh explain golang.org/x/text@v0.14.0 --state /var/lib/modmesh";

pub(super) const SUMDB_EXAMPLES: &str = "\
When a database has signed two logs that contradict each other, this host goes on with the one that it followed and \
refuses the other. If those who run the database say that they began it anew, `accept` follows the refused log, and \
`forget` whichever is shown first. The old log is kept aside, nothing of the store is deleted, and files that rested on \
it are judged again. sum.golang.org is never begun anew: do not accept another log of it. The daemon is asked over a socket \
in its state folder, which its own user alone can reach.

Examples:
  modmesh sumdb
  modmesh sumdb show sum.example.com --json
  modmesh sumdb accept sum.example.com
  modmesh sumdb forget sum.example.com --yes";

pub(super) const DISTRUST_EXAMPLES: &str = "\
Among members, files that no checksum database lists rest on the word of whoever gave them. When one of them cannot be \
trusted any more, all that it signed or gave is dropped here and fetched anew, and it is left alone until --undo. The other \
hosts have to do the same; a new mesh secret keeps it out of all of them. The daemon is asked over a socket in its state \
folder, which its own user alone can reach.

Examples:
  modmesh distrust 12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN
  modmesh distrust 12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN --undo";

pub(super) const SECRET_EXAMPLES: &str = "\
Hosts that are started with the same secret are members of one mesh. They deal with each other and with nobody else. \
Copy the file to each of them, with mode 0600, and name it: modmesh up --mesh-secret-file FILE. No file is taken \
without being named, so that one that is gone opens no mesh.

To exchange a secret: make a new one, put its line into the file of each host, above the old one, and when all have \
it, take the old line out. A running daemon sees the change within seconds. A file holds at most four secrets.

Examples:
  modmesh secret new
  modmesh secret new /etc/modmesh/mesh-secret";

pub(super) const CONFIG_EXAMPLES: &str = "\
Takes the flags of `modmesh up`, and shows what it would be started with.

Examples:
  modmesh config
  modmesh config --json
  modmesh config --config ./modmesh.toml --offline";

pub(super) const SETUP_EXAMPLES: &str = "\
Changes GOPROXY with `go env -w`, shows what it was and is, and remembers it for --undo. By default go falls back to \
the list it had when modmesh does not answer; with --strict it asks modmesh alone, and the daemon asks that list. \
Nothing is asked, so it can stand in scripts.

Examples:
  modmesh setup
  modmesh setup --dry-run
  modmesh setup --strict
  modmesh setup --undo";

pub(super) const DOCTOR_EXAMPLES: &str = "\
One line for each finding: ok, warning, or problem with its remedy. Works without a daemon, and takes at most some ten \
seconds. Exit codes: 0 no problem, 1 a problem.

Examples:
  modmesh doctor
  modmesh doctor --json";
