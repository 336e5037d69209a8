# The application of the introduction, with the `jwt` and `http` gems.

require "http"
require "jwt"
require_relative "bifrost"

def publish(item, secret: ENV["JWT_SECRET"])
  data = {
    channel: "user:1", # Channel to broadcast to
    message: {
      event: "new_item",
      data: JSON.dump(item)
    },
    exp: Time.now.to_i + 3600
  }
  jwt = JWT.encode(data, secret, "HS512")
  url = ENV.fetch("BIFROST_URL")
  url += "/broadcast"

  req = HTTP.post(url, json: { token: jwt })

  if req.status > 206
    raise "Error communicating with Bifrost server on URL: #{url}: #{req.status} #{req}"
  end
  req
end

def refused
  yield
  raise "not refused"
rescue RuntimeError => error
  error.message
end

with_server do |address|
  with_subscriber(address, "user:1") do |next_message|
    check "a broadcast reaches the subscriber" do
      item = { "id" => 7, "name" => "Wörld \u{1F4A5}" }
      answer = publish(item)
      expect(answer.parse, { "message" => "Success", "deliveries" => 1 })
      message = next_message.call
      expect(message["event"], "new_item")
      expect(JSON.parse(message["data"]), item)
    end

    check "a token signed with another secret is refused" do
      reason = refused { publish({ "id" => 8 }, secret: "another secret" * 8) }
      expect(reason.end_with?(': 400 Bad Request {"error":"Bad signature"}'), true)
    end

    check "what was refused was not delivered" do
      publish({ "id" => 9 })
      expect(next_message.call["data"], '{"id":9}')
    end
  end
end
