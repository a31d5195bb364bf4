// The action's entry: it finds, downloads or builds mabuild and runs `mabuild ci github`.
// Everything else is in Go. Runs on node 20 and later, without dependencies.
'use strict';
const { spawn, spawnSync } = require('node:child_process');
const { createHash, randomUUID } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const root = path.join(__dirname, '..', '..'); // of the action's repository
const env = process.env;
const system = { linux: 'linux', darwin: 'darwin', win32: 'windows' }[process.platform];
const arch = { x64: 'amd64', arm64: 'arm64' }[process.arch];
const suffix = system === 'windows' ? '.exe' : '';

const lines = (text) => String(text).replace(/%/g, '%25').replace(/\r/g, '%0D').replace(/\n/g, '%0A');
const isExecutable = (file) => {
  try { fs.accessSync(file, fs.constants.X_OK); return fs.statSync(file).isFile(); } catch { return false; }
};

// keep puts a finished file under its name, so that no other step sees half of it.
function keep(file, write) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const part = `${file}.${randomUUID()}`;
  try { write(part); fs.chmodSync(part, 0o755); fs.renameSync(part, file); } finally { fs.rmSync(part, { force: true }); }
  return file;
}

// download gets the binary of a release. Its checksum is part of the action's source, so
// a file that was exchanged at its place is refused.
async function download(file, release) {
  const name = `mabuild_${system}_${arch}${suffix}`;
  const want = release.sha256[name];
  if (!want) throw new Error(`mabuild ${release.version} has no binary for ${system}/${arch}; use a runner with Linux, macOS or Windows`);
  const url = `${env.MABUILD_RELEASES || 'https://github.com/mabuild/mabuild/releases/download'}/${release.version}/${name}`;
  const response = await fetch(url, { signal: AbortSignal.timeout(120_000) });
  if (!response.ok) throw new Error(`downloading ${url}: HTTP ${response.status}`);
  const body = Buffer.from(await response.arrayBuffer());
  const got = createHash('sha256').update(body).digest('hex');
  if (got !== want) throw new Error(`checking ${url}: SHA-256 is ${got}, not ${want}; the file is not the one that was released`);
  return keep(file, (part) => fs.writeFileSync(part, body));
}

// compile builds what was checked out, for an action that is used by branch or commit.
function compile(file) {
  return keep(file, (part) => {
    const args = ['build', '-trimpath', '-ldflags=-s -w', '-o', part, './cmd/mabuild'];
    const built = spawnSync('go', args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env: { ...env, CGO_ENABLED: '0' } });
    if (built.error || built.status !== 0) throw new Error('building mabuild needs Go: use a released version of the action (@v1), or actions/setup-go before it');
  });
}

async function locate() {
  const given = env.MABUILD_BINARY || path.join(root, 'bin', `mabuild${suffix}`);
  if (isExecutable(given)) return given;
  if (env.MABUILD_BINARY) throw new Error(`MABUILD_BINARY=${given} is no program; name mabuild's binary, or leave it away`);
  const record = path.join(__dirname, 'release.json');
  // A branch or a commit is newer than the release before it.
  const released = /^v\d/.test(env.GITHUB_ACTION_REF || '') && fs.existsSync(record);
  const release = released ? JSON.parse(fs.readFileSync(record, 'utf8')) : null;
  const version = release ? release.version : createHash('sha256').update(`${env.GITHUB_ACTION_REPOSITORY} ${env.GITHUB_ACTION_REF}`).digest('hex').slice(0, 12);
  const cache = env.RUNNER_TOOL_CACHE || path.join(os.tmpdir(), 'mabuild-tools');
  const file = path.join(cache, 'mabuild', version, arch || process.arch, `mabuild${suffix}`);
  if (release && isExecutable(file)) return file;
  return release ? download(file, release) : compile(file);
}

// run starts mabuild and hands it what the runner sends to this process.
function run(binary, args) {
  const child = spawn(binary, args, { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', fail);
  child.on('exit', (code, signal) => { process.exitCode = signal ? 128 + (os.constants.signals[signal] || 0) : code; });
}

function fail(error) {
  console.log(`::error title=mabuild::${lines(error.message)}`);
  process.exitCode = 1;
}

if (env.STATE_mabuild) { // the post phase: main saved its binary
  run(env.STATE_mabuild, ['ci', 'github', '--post']);
} else {
  locate().then((binary) => {
    if (env.GITHUB_STATE) fs.appendFileSync(env.GITHUB_STATE, `mabuild=${binary}${os.EOL}`);
    run(binary, ['ci', 'github']);
  }).catch(fail);
}
