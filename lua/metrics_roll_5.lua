-- Adds the counts of a minute that has ended to the totals of its hour and day. A minute is added only once, even if
-- several processes try to add it.
--
-- KEYS  1 minutes that are not rolled up yet (sorted set of minute and series, scored by minute)
--       2 the last minute that was rolled up (string)
--       3 the minute (hash)
--       4 its hour (hash)
--       5 its day (hash)
-- ARGV  1 the time in µs (tests only), else ""
--       2 the minute, in minutes since 1970
--       3 minute and series, as the set contains them
--       4 the TTL of a minute that was rolled up, 5 of an hour, 6 of a day, 7 of KEYS 2, each in s
-- Reply  1 added, 0 the minute was added before or has not ended yet
--
-- Hour and day store in `rolled_up_to` the last minute that they include, so a reader neither misses a minute nor
-- counts it twice.

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local minute = tonumber(ARGV[2])
local last_rolled_up = tonumber(redis.call('GET', KEYS[2]) or -1)
if minute >= math.floor(now / 60000000) and minute > last_rolled_up then return 0 end
if redis.call('ZREM', KEYS[1], ARGV[3]) == 0 then return 0 end
-- From here on, nothing is added to the minute any more.
if minute > last_rolled_up then last_rolled_up = minute end
redis.call('SET', KEYS[2], string.format('%.0f', last_rolled_up), 'EX', ARGV[7])

local fields = redis.call('HGETALL', KEYS[3])
for at = 1, #fields, 2 do
  redis.call('HINCRBY', KEYS[4], fields[at], fields[at + 1])
  redis.call('HINCRBY', KEYS[5], fields[at], fields[at + 1])
end
for at, ttl in ipairs({ ARGV[5], ARGV[6] }) do
  local window = KEYS[at + 3]
  if minute > tonumber(redis.call('HGET', window, 'rolled_up_to') or -1) then
    redis.call('HSET', window, 'rolled_up_to', ARGV[2])
  end
  redis.call('EXPIRE', window, ttl)
end
redis.call('EXPIRE', KEYS[3], ARGV[4])
return 1
