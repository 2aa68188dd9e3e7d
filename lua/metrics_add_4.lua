-- Adds a batch of what one process counted of one platform to the minute in which the batch arrives, once.
--
-- KEYS  1 the number of this process's last batch   2 minutes not rolled up yet (sorted set of series by minute)
--       3 endpoints (sorted set by the last minute)   4 the last minute that was rolled up
-- ARGV  1 the batch's number, growing in each process   2 the time in µs for tests, else ""
--       3 what keys of windows begin with   4 the most endpoints kept apart   5 the name of further ones
--       6 life of a batch's number, 7 of a minute, 8 of the endpoints, in s
--       then for each series: its name ("" is the platform, ":x" the endpoint x), how many fields, field and count of each
-- Reply  1 added, 0 it was added before
--
-- A minute that was rolled up takes no more, whatever the clock says: what arrives then counts in the next one.
-- Minutes have keys made here, since only the server knows the minute; they share the tag of the declared ones. Each is
-- touched before anything is written: where one cannot be had (its slot is on the move), nothing is added.

if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[1]) then return 0 end

local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local closed = tonumber(redis.call('GET', KEYS[4]) or -1)
local minute = string.format('%.0f', math.max(math.floor(now / 60000000), closed + 1))

-- The series under which an endpoint is counted: its own while there is room.
local function series_of(name)
  if name == '' then return name end
  local endpoint = string.sub(name, 2)
  local known = redis.call('ZSCORE', KEYS[3], endpoint)
  if not known and redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[4]) then endpoint = ARGV[5] end
  redis.call('ZADD', KEYS[3], minute, endpoint)
  return ':' .. endpoint
end

local windows, at = {}, 9
while at < #ARGV do
  local series, fields = series_of(ARGV[at]), tonumber(ARGV[at + 1])
  local window = { key = ARGV[3] .. series .. ':' .. minute, series = series, from = at + 2, to = at + 2 * fields }
  redis.call('HLEN', window.key)
  windows[#windows + 1] = window
  at = at + 2 + 2 * fields
end

redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[6])
for _, window in ipairs(windows) do
  for field = window.from, window.to, 2 do
    redis.call('HINCRBY', window.key, ARGV[field], ARGV[field + 1])
  end
  redis.call('EXPIRE', window.key, ARGV[7])
  redis.call('ZADD', KEYS[2], minute, minute .. window.series)
end
redis.call('EXPIRE', KEYS[2], ARGV[7])
redis.call('EXPIRE', KEYS[3], ARGV[8])
return 1
