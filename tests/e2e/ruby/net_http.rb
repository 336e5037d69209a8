# Broadcasting through Ruby's own Net::HTTP, as the published client gem does it.

require "jwt"
require "net/http"
require_relative "bifrost"

class BroadcastError < StandardError; end

def broadcast(channel, event:, data:, secret: ENV.fetch("JWT_SECRET"))
  payload = { channel: channel, message: { event: event, data: data.to_json }, exp: Time.now.to_i + 3600 }
  jwt = JWT.encode(payload, secret, "HS512")

  uri = URI("#{ENV.fetch('BIFROST_URL')}/broadcast")
  request = Net::HTTP::Post.new(uri, "Content-Type" => "application/json")
  request.body = { token: jwt }.to_json
  response = Net::HTTP.start(uri.hostname, uri.port) { |http| http.request(request) }

  raise BroadcastError, "#{response.code} #{response.body}" if response.code.to_i > 206
  JSON.parse(response.body)
end

with_server do |address|
  with_subscriber(address, "user:1") do |next_message|
    check "a broadcast reaches the subscriber" do
      result = broadcast("user:1", event: "new_item", data: { id: 7 })
      expect(result["deliveries"], 1)
      expect(next_message.call, { "event" => "new_item", "data" => '{"id":7}' })
    end

    check "a broadcast that nobody listens to is no error" do
      result = broadcast("user:2", event: "new_item", data: { id: 7 })
      expect(result["deliveries"], 0)
    end

    check "a token signed with another secret is refused" do
      broadcast("user:1", event: "new_item", data: { id: 8 }, secret: "another secret" * 8)
      raise "not refused"
    rescue BroadcastError => error
      expect(error.message, '400 {"error":"Bad signature"}')
    end
  end
end
