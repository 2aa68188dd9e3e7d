-- Writes the state changes and notifications of one tick of the leader, and returns the undelivered notifications.
--
-- KEYS  1 the greatest fencing token (string)
--       2 states (hash)
--       3 history (sorted set of notification ids, scored by time in ms)
--       4 undelivered notifications (sorted set of "id channel", scored by time)
--       5 the last id (string)
-- ARGV  1 the time in µs (tests only), else ""
--       2 the leader's fencing token
--       3 the key prefix of notifications, to which an id is appended
--       4 how long notifications are kept, in ms
--       5 the maximum number of notifications kept
--       6 the maximum number of undelivered entries in the reply
--       7 the number of states
--       8… the name and value of each state (an empty value removes the state),
--          then for each notification: its text, the number of its channels, their names
-- Reply  nil if the token is smaller than an earlier one; the script then writes nothing
--        else a list of {id, text, channel} for each undelivered entry, oldest first
--
-- An id is at least the time in µs, so it is greater than every earlier one even if Redis lost all its data.
-- The keys of notifications are built here because their ids are; they share the hash tag of the declared keys. Each
-- key is read before anything is written: if one is not available (its slot is moving), nothing is written.

if tonumber(ARGV[2]) < tonumber(redis.call('GET', KEYS[1]) or 0) then return false end
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local now_ms = math.floor(now / 1000)

-- The notifications, each with its id, its index in ARGV and the number of its channels.
local notifications, at = {}, 8 + 2 * tonumber(ARGV[7])
local last_id = tonumber(redis.call('GET', KEYS[5]) or 0)
while at < #ARGV do
  last_id = math.max(last_id + 1, now)
  local notification = { id = string.format('%016.0f', last_id), at = at, channels = tonumber(ARGV[at + 1]) }
  redis.call('HLEN', ARGV[3] .. notification.id)
  notifications[#notifications + 1] = notification
  at = at + 2 + notification.channels
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

for _, notification in ipairs(notifications) do
  local key = ARGV[3] .. notification.id
  redis.call('SET', KEYS[5], notification.id)
  redis.call('HSET', key, 'message', ARGV[notification.at])
  redis.call('PEXPIRE', key, ARGV[4])
  redis.call('ZADD', KEYS[3], string.format('%.0f', now_ms), notification.id)
  for channel = notification.at + 2, notification.at + 1 + notification.channels do
    redis.call('ZADD', KEYS[4], string.format('%.0f', now_ms), notification.id .. ' ' .. ARGV[channel])
  end
end

-- Removes notifications that are too old or too many, at most a thousand of each in one run.
local function remove(ids)
  for _, id in ipairs(ids) do
    redis.call('ZREM', KEYS[3], id)
    redis.call('DEL', ARGV[3] .. id)
  end
end
local oldest = string.format('(%.0f', now_ms - tonumber(ARGV[4]))
remove(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', oldest, 'LIMIT', 0, 1000))
local excess = redis.call('ZCARD', KEYS[3]) - tonumber(ARGV[5])
if excess > 0 then remove(redis.call('ZRANGE', KEYS[3], 0, math.min(excess, 1000) - 1)) end

local undelivered = {}
for _, entry in ipairs(redis.call('ZRANGE', KEYS[4], 0, tonumber(ARGV[6]) - 1)) do
  local id, channel = string.match(entry, '^(%d+) (.*)$')
  local text = redis.call('HGET', ARGV[3] .. id, 'message')
  if text then
    undelivered[#undelivered + 1] = { id, text, channel }
  else
    redis.call('ZREM', KEYS[4], entry)
  end
end
return undelivered
