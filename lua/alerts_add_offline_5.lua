-- Adds the notifications and states of built-in alerts that one process kept in memory while Redis was unavailable. A
-- repeated notification is added only once.
--
-- KEYS  1 the id of the last notification that was added from this process (string)
--       2 states (hash)
--       3 history (sorted set of notification ids, scored by time in ms)
--       4 undelivered notifications (sorted set of "id channel", scored by time)
--       5 the last id (string)
-- ARGV  1 the time in µs (tests only), else ""
--       2 the key prefix of notifications, to which an id is appended
--       3 how long notifications are kept, in ms
--       4 the number of states
--       5… for each state: its name, its value before and after the outage ("" is no state), the time of its last
--          notification in µs, the process's id of that notification,
--          then for each notification: the process's id of it, its time in ms, its text, the number of its channels,
--          then for each channel: its name, and the result of its delivery ("" if it has none)
-- Reply  the number of notifications that were added
--
-- The process numbers its notifications, so those with a greater number than the last one are new. A state is written
-- only with a new notification, so a repeated request does not undo what a leader wrote since.
-- The keys of notifications are built here because their ids are; they share the hash tag of the declared keys. Each
-- key is read before anything is written: if one is not available (its slot is moving), nothing is written.

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local added = tonumber(redis.call('GET', KEYS[1]) or 0)
local states_end = 4 + 5 * tonumber(ARGV[4])

-- The new notifications, each with its id here, its id in the process, its index in ARGV and its number of channels.
local notifications, at = {}, states_end + 1
local last_id = tonumber(redis.call('GET', KEYS[5]) or 0)
while at < #ARGV do
  local channels = tonumber(ARGV[at + 3])
  if tonumber(ARGV[at]) > added then
    last_id = math.max(last_id + 1, now)
    local id = string.format('%016.0f', last_id)
    redis.call('HLEN', ARGV[2] .. id)
    notifications[#notifications + 1] = { id = id, number = ARGV[at], at = at, channels = channels }
  end
  at = at + 4 + 2 * channels
end

-- Whether the state of the process replaces the current one: nothing changed it since, or it was notified later.
local function replaces(current, before, last_notified)
  if current == before or current == '' then return true end
  return last_notified > (tonumber(cjson.decode(current).state.last_notified) or 0)
end

for state = 5, states_end, 5 do
  if tonumber(ARGV[state + 4]) > added then
    local current = redis.call('HGET', KEYS[2], ARGV[state]) or ''
    if replaces(current, ARGV[state + 1], tonumber(ARGV[state + 3])) then
      if ARGV[state + 2] == '' then
        redis.call('HDEL', KEYS[2], ARGV[state])
      else
        redis.call('HSET', KEYS[2], ARGV[state], ARGV[state + 2])
      end
    end
  end
end

for _, notification in ipairs(notifications) do
  local key, at_ms = ARGV[2] .. notification.id, ARGV[notification.at + 1]
  redis.call('SET', KEYS[1], notification.number, 'PX', ARGV[3])
  redis.call('SET', KEYS[5], notification.id)
  redis.call('HSET', key, 'message', ARGV[notification.at + 2])
  redis.call('PEXPIRE', key, ARGV[3])
  redis.call('ZADD', KEYS[3], at_ms, notification.id)
  local first = notification.at + 4
  for channel = first, first + 2 * (notification.channels - 1), 2 do
    if ARGV[channel + 1] == '' then
      redis.call('ZADD', KEYS[4], at_ms, notification.id .. ' ' .. ARGV[channel])
    else
      redis.call('HSET', key, 'to ' .. ARGV[channel], ARGV[channel + 1])
    end
  end
end
return #notifications
