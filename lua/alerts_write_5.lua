-- Writes what one tick of the leader changes, and tells which messages are open.
--
-- KEYS  1 the greatest fencing token (text)   2 states (hash)   3 messages (sorted set of ids by time in ms)
--       4 open channels (sorted set of "id channel" by time)   5 the last id (text)
-- ARGV  1 the time in µs for tests, else ""   2 the fencing token   3 what keys of messages begin with
--       4 how long messages are kept, in ms   5 the most messages kept   6 the most open channels told
--       7 how many states, then name and state of each, "" to forget it
--       then for each message: its text, how many channels, their names
-- Reply  nil where the token is smaller than one that was here before; nothing is written then
--        else for each open channel, oldest first: the message's id, its text, the channel
--
-- An id is greater than any before it even where all data was lost, since it is no smaller than the time.
-- Messages have keys made here, since their ids are; they share the tag of the declared ones. Each is touched before
-- anything is written: where one cannot be had (its slot is on the move), nothing is.

if tonumber(ARGV[2]) < tonumber(redis.call('GET', KEYS[1]) or 0) then return false end
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local now_ms = math.floor(now / 1000)

-- The messages: where each stands among the arguments, and its id.
local messages, at = {}, 8 + 2 * tonumber(ARGV[7])
local last = tonumber(redis.call('GET', KEYS[5]) or 0)
while at < #ARGV do
  last = math.max(last + 1, now)
  local message = { id = string.format('%016.0f', last), at = at, channels = tonumber(ARGV[at + 1]) }
  redis.call('HLEN', ARGV[3] .. message.id)
  messages[#messages + 1] = message
  at = at + 2 + message.channels
end

redis.call('SET', KEYS[1], ARGV[2])
at = 8
for _ = 1, tonumber(ARGV[7]) do
  if ARGV[at + 1] == '' then
    redis.call('HDEL', KEYS[2], ARGV[at])
  else
    redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
  end
  at = at + 2
end

for _, message in ipairs(messages) do
  redis.call('SET', KEYS[5], message.id)
  redis.call('HSET', ARGV[3] .. message.id, 'message', ARGV[message.at])
  redis.call('PEXPIRE', ARGV[3] .. message.id, ARGV[4])
  redis.call('ZADD', KEYS[3], string.format('%.0f', now_ms), message.id)
  for channel = message.at + 2, message.at + 1 + message.channels do
    redis.call('ZADD', KEYS[4], string.format('%.0f', now_ms), message.id .. ' ' .. ARGV[channel])
  end
end

-- What is too old goes, a thousand at a time, and what is too much.
local function forget(ids)
  for _, id in ipairs(ids) do
    redis.call('ZREM', KEYS[3], id)
    redis.call('DEL', ARGV[3] .. id)
  end
end
local oldest = string.format('(%.0f', now_ms - tonumber(ARGV[4]))
forget(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', oldest, 'LIMIT', 0, 1000))
local excess = redis.call('ZCARD', KEYS[3]) - tonumber(ARGV[5])
if excess > 0 then forget(redis.call('ZRANGE', KEYS[3], 0, math.min(excess, 1000) - 1)) end

local open = {}
for _, place in ipairs(redis.call('ZRANGE', KEYS[4], 0, tonumber(ARGV[6]) - 1)) do
  local id, channel = string.match(place, '^(%d+) (.*)$')
  local message = redis.call('HGET', ARGV[3] .. id, 'message')
  if message then
    open[#open + 1] = { id, message, channel }
  else
    redis.call('ZREM', KEYS[4], place)
  end
end
return open
