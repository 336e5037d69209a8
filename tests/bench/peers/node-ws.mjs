// A broadcast server on Node and ws, as fast as ws allows: no token is verified, no JSON parsed,
// and each message is framed once for all its subscribers.
import { createServer } from 'node:http'
import { Sender, WebSocketServer } from 'ws'

const PING_INTERVAL = 15_000
const FRAME = { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: true }

const channels = new Map() // name → set of connections
const server = createServer(receive)
const sockets = new WebSocketServer({ server, path: '/subscribe', perMessageDeflate: false })
// Node's default keep-alive timeout is shorter than publishers here are idle.
server.keepAliveTimeout = 600_000

sockets.on('connection', (socket) => {
  const joined = []
  socket.on('message', (text) => subscribe(socket, joined, text.toString()))
  socket.on('close', () => joined.forEach((name) => leave(name, socket)))
  socket.on('error', () => socket.terminate())
})
setInterval(() => sockets.clients.forEach((socket) => socket.ping()), PING_INTERVAL)

server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  console.error(`listening addr=127.0.0.1:${server.address().port}`)
})

// {"event":"authenticate","data":"<names in the clear, separated by commas>"}
function subscribe(socket, joined, text) {
  const names = text.slice(text.indexOf('"data":"') + 8, text.lastIndexOf('"')).trimEnd()
  for (const name of names.split(',')) {
    if (!channels.has(name)) channels.set(name, new Set())
    channels.get(name).add(socket)
    joined.push(name)
    const data = JSON.stringify({ channel: name })
    socket.send(JSON.stringify({ event: 'subscribed', data }))
  }
}

function leave(name, socket) {
  const members = channels.get(name)
  members?.delete(socket)
  if (members?.size === 0) channels.delete(name)
}

function receive(request, response) {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const deliveries = broadcast(Buffer.concat(chunks))
    const body = `{"message":"Success","deliveries":${deliveries}}`
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': body.length })
    response.end(body)
  })
}

// "<channel> <size>\n<message><spaces>"
function broadcast(body) {
  const line = body.indexOf(10)
  const [name, size] = body.toString('latin1', 0, line).split(' ')
  const members = channels.get(name)
  if (!members) return 0
  const message = body.subarray(line + 1, line + 1 + Number(size))
  const frame = Buffer.concat(Sender.frame(message, FRAME))
  for (const socket of members) socket._socket.write(frame)
  return members.size
}
