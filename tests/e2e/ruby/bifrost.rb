# Shared by the Ruby checks: a server under test, a subscriber, deadlines.

require "json"
require "open3"
require "securerandom"
require "timeout"
require "tmpdir"

# Seconds that no single wait may last; far more than a slow machine needs.
DEADLINE = 30

$stdout.sync = true

def check(sentence)
  puts "- #{sentence}"
  Timeout.timeout(DEADLINE) { yield }
end

def expect(actual, wanted)
  raise "#{actual.inspect} is not #{wanted.inspect}" unless actual == wanted
end

# Starts `bifrost serve` on a free port, and sets the variables that the
# application reads: JWT_SECRET and BIFROST_URL.
def with_server
  ENV["JWT_SECRET"] = SecureRandom.hex(48)
  settings = { "HOST" => "127.0.0.1", "PORT" => "0" }
  Dir.mktmpdir do |directory|
    Open3.popen2e(settings, ENV.fetch("BIFROST"), "serve", chdir: directory) do |_, log, server|
      begin
        address = Timeout.timeout(DEADLINE) { wait_for_address(log) }
        rest_of_log = Thread.new { IO.copy_stream(log, $stderr) }
        ENV["BIFROST_URL"] = "http://#{address}"
        yield address
      ensure
        Process.kill(:KILL, server.pid) if server.alive?
        rest_of_log&.join
      end
    end
  end
end

def wait_for_address(log)
  log.each_line do |line|
    warn line
    return $1 if line =~ /listening addr=(\S+)/
  end
  raise "the server ended at its start"
end

# Yields a function that returns the next message to a subscriber of the channel.
def with_subscriber(address, channel)
  listen = ["node", "#{__dir__}/../node/listen.mjs", address, ENV.fetch("JWT_SECRET"), channel]
  Open3.popen2(*listen) do |_, messages, process|
    begin
      Timeout.timeout(DEADLINE) { expect(messages.gets, "subscribed\n") }
      yield -> { JSON.parse(messages.gets) }
    ensure
      Process.kill(:KILL, process.pid) if process.alive?
    end
  end
end
