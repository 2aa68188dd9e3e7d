-- Adds a batch of one process's counts for one platform to the minute in which the batch arrives. A repeated batch is
-- added only once.
--
-- KEYS  1 the number of this process's last batch (string)
--       2 minutes that are not rolled up yet (sorted set of minute and series, scored by minute)
--       3 endpoints (sorted set, scored by the last minute with calls)
--       4 the last minute that was rolled up (string)
-- ARGV  1 the batch's number, increasing in each process
--       2 the time in µs (tests only), else ""
--       3 the key prefix of windows, to which series and minute are appended
--       4 the maximum number of endpoints with counts of their own
--       5 the endpoint name under which further endpoints are counted
--       6 the TTL of the batch's number, 7 of a minute, 8 of the endpoints, each in s
--       9… for each series: its name ("" is the platform, ":x" its endpoint x), the number of fields,
--          then name and count of each field
-- Reply  1 added, 0 the batch was added before
--
-- Counts are never added to a minute that was rolled up, even if the clock goes back; they go to the next minute.
-- The keys of minutes are built here because only the server knows the minute; they share the hash tag of the declared
-- keys. Each key is read before anything is written: if one is not available (its slot is moving), nothing is added.

if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[1]) then return 0 end

local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local last_rolled_up = tonumber(redis.call('GET', KEYS[4]) or -1)
local minute = string.format('%.0f', math.max(math.floor(now / 60000000), last_rolled_up + 1))

-- The series in which an endpoint is counted: its own unless there are too many endpoints.
local function series_for(name)
  if name == '' then return name end
  local endpoint = string.sub(name, 2)
  local known = redis.call('ZSCORE', KEYS[3], endpoint)
  if not known and redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[4]) then endpoint = ARGV[5] end
  redis.call('ZADD', KEYS[3], minute, endpoint)
  return ':' .. endpoint
end

local windows, at = {}, 9
while at < #ARGV do
  local series, fields = series_for(ARGV[at]), tonumber(ARGV[at + 1])
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
