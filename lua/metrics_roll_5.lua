-- Adds a minute that has ended to its hour and its day, once whoever else tries the same.
--
-- KEYS  1 minutes not rolled up yet (sorted set of series by minute)   2 the last minute that was rolled up
--       3 the minute (hash)   4 its hour (hash)   5 its day (hash)
-- ARGV  1 the time in µs for tests, else ""   2 the minute, since 1970   3 minute and series as the set names them
--       4 life of a minute that was rolled up, 5 of an hour, 6 of a day, 7 of the mark, in s
-- Reply  1 added, 0 it was added before or has not ended yet
--
-- Hour and day say up to which minute they reach, so that a reader neither misses a minute nor counts it twice.

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local minute = tonumber(ARGV[2])
local closed = tonumber(redis.call('GET', KEYS[2]) or -1)
if minute >= math.floor(now / 60000000) and minute > closed then return 0 end
if redis.call('ZREM', KEYS[1], ARGV[3]) == 0 then return 0 end
-- From here on the minute takes no more.
if minute > closed then closed = minute end
redis.call('SET', KEYS[2], string.format('%.0f', closed), 'EX', ARGV[7])

local fields = redis.call('HGETALL', KEYS[3])
for at = 1, #fields, 2 do
  redis.call('HINCRBY', KEYS[4], fields[at], fields[at + 1])
  redis.call('HINCRBY', KEYS[5], fields[at], fields[at + 1])
end
for at, life in ipairs({ ARGV[5], ARGV[6] }) do
  local window = KEYS[at + 3]
  if minute > tonumber(redis.call('HGET', window, 'reaches') or -1) then
    redis.call('HSET', window, 'reaches', ARGV[2])
  end
  redis.call('EXPIRE', window, life)
end
redis.call('EXPIRE', KEYS[3], ARGV[4])
return 1
