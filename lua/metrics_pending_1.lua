-- Tells the time and the minutes that are not rolled up yet.
--
-- KEYS  1 minutes not rolled up yet (sorted set of series by minute)
-- ARGV  1 the time in µs for tests, else ""   2 how many at most, oldest first; -1 all
-- Reply  the time in ms, and a list of minute and series as one text each

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local most = tonumber(ARGV[2])
local pending = {}
if most ~= 0 then
  pending = redis.call('ZRANGE', KEYS[1], 0, string.format('%.0f', most > 0 and most - 1 or -1))
end
return { math.floor(now / 1000), pending }
