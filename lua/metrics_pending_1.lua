-- Returns the time and the minutes that are not rolled up yet.
--
-- KEYS  1 minutes that are not rolled up yet (sorted set of minute and series, scored by minute)
-- ARGV  1 the time in µs (tests only), else ""
--       2 the maximum number of minutes to return, oldest first; -1 for all
-- Reply  the time in ms, and a list of strings, each of minute and series

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local max = tonumber(ARGV[2])
local pending = {}
if max ~= 0 then
  pending = redis.call('ZRANGE', KEYS[1], 0, string.format('%.0f', max > 0 and max - 1 or -1))
end
return { math.floor(now / 1000), pending }
