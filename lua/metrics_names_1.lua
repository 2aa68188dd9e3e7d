-- Adds names of platforms or endpoints that have metrics, removes expired names and returns the remaining ones.
--
-- KEYS  1 the names (sorted set, scored by the last minute with calls)
-- ARGV  1 the time in µs (tests only), else ""
--       2 how long a name is kept, in s
--       3… the names to add
-- Reply  the names

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local minute = math.floor(now / 60000000)
for at = 3, #ARGV do
  redis.call('ZADD', KEYS[1], string.format('%.0f', minute), ARGV[at])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', minute - math.floor(ARGV[2] / 60)))
if #ARGV > 2 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return redis.call('ZRANGE', KEYS[1], 0, -1)
