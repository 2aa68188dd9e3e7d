-- Runs a batch of operations on one platform's token bucket: all of them or none. The bucket behaves like `Bucket` in
-- tidegate-core.
--
-- KEYS  1 the bucket (hash)
--       2 waiting calls (sorted set of ticket:cost, scored by the value of `refilled` at which a call may be sent)
--       3 the number of this process's last batch and the reply to it (string)
--       4 cancelled reservations (sorted set, scored by the µs after which a cancellation would return nothing)
-- ARGV  1 the batch's number, increasing in each process
--       2 the channel on which a change of the waiting calls is published
--       3 the time in µs (tests only), else ""
--       4 "1" if a missing bucket must start empty, else "0"
--       5 the quota of a missing bucket
--       6 the configured quota of this process; "" if the process only reads and updates
--       7 how long this process has had this configuration, in µs, if it has to announce it, else ""
--       8… the operations, each a name followed by its arguments:
--         reserve TICKET COST WITHIN_US
--         remaining_wait TICKET:COST
--         cancel_wait TICKET:COST
--         status
--         debit COST
--         update QUOTA
--         reset
--         cancel TICKET COST AT LEVEL RETURNED EPOCH   (the last four as returned by the reservation)
--       A quota is "tokens period_us burst units_per_us units_per_token".
-- Reply  a string of numbers, separated by spaces. First the bucket's state:
--         created_at, the five numbers of the active quota, the level in whole tokens, µs until the bucket is full,
--         the bucket's time in µs
--        then six numbers for each operation: its result in three numbers, and the state after it in three more
--        (the level in units, units returned by cancellations, the epoch: the number of updates and resets):
--         reserve         1 wait_us tokens_left   granted
--                         0 retry_after_us 0      refused
--                         -1 max 0                the cost is above the burst
--         remaining_wait  1 wait_us 0
--         others          1 0 0
-- Error  STALE if a later batch of this process has run already; the script then changes nothing
--
-- A repeated batch has the same number. It changes nothing and gets the same reply. A status of a missing bucket does not
-- create it, nor does a reset of one that would be full.
-- All numbers are integers below 2^53, which a double represents exactly: Quota::new keeps levels below 2^51.

local bucket_key, waiting_key, batch_key, cancelled_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local last_batch = redis.call('GET', batch_key)
if last_batch then
  local number, reply = string.match(last_batch, '^(%d+) (.*)$')
  if number == ARGV[1] then return reply end
  if tonumber(number) > tonumber(ARGV[1]) then return redis.error_reply('STALE a later batch has run already') end
end

local now = tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

-- Formats an integer; tostring would print only 14 digits. Adding 0 turns -0 into 0.
local function integer(x)
  return string.format('%.0f', x + 0)
end

-- x / y, rounded down and rounded up. fmod is exact; the quotient of doubles is not.
local function floor_div(x, y)
  local rest = math.fmod(x, y)
  if rest < 0 then rest = rest + y end
  return (x - rest) / y
end

local function ceil_div(x, y)
  return -floor_div(-x, y)
end

-- x * y / z rounded down. The product may exceed 2^53, so it is computed by binary long multiplication.
local function mul_div(x, y, z)
  local tokens = floor_div(x, z)
  local rest = x - tokens * z
  if rest * y <= 9007199254740992 then
    return tokens * y + floor_div(rest * y, z)
  end
  local quotient, remainder, bit = 0, 0, 2 ^ 51
  while bit >= 1 do
    quotient, remainder = quotient * 2, remainder * 2
    if y >= bit then
      y, remainder = y - bit, remainder + rest
    end
    while remainder >= z do
      remainder, quotient = remainder - z, quotient + 1
    end
    bit = bit / 2
  end
  return tokens * y + quotient
end

-- The active quota. The capacity is in units, like the level.
local quota, burst, units_per_us, units_per_token, capacity

local function read_quota(text)
  quota = text
  local b, us, token = string.match(text, '^%d+ %d+ (%d+) (%d+) (%d+)$')
  burst, units_per_us, units_per_token = tonumber(b), tonumber(us), tonumber(token)
  capacity = burst * units_per_token
end

-- A level below zero means that waiting calls have reserved that many units. `refilled` counts the units that were
-- refilled while calls wait. `due_at` of a waiting call is the value of `refilled` at which the call may be sent.
local stored = redis.call('HMGET', bucket_key, 'level', 'updated_at', 'refilled', 'queued', 'created_at', 'quota',
  'configured_quota', 'returned', 'epoch', 'configured_at')
local level, updated_at, refilled = tonumber(stored[1]), tonumber(stored[2]), tonumber(stored[3])
local queued, created_at, configured_quota = stored[4] == '1', stored[5], stored[7]
local returned, epoch, configured_at = tonumber(stored[8] or 0), tonumber(stored[9] or 0), tonumber(stored[10] or 0)
local announces = ARGV[7] ~= ''
local is_missing = not (level and updated_at)
if is_missing then
  read_quota(announces and ARGV[6] or ARGV[5])
  level, updated_at, refilled, queued, created_at, configured_quota = 0, now, 0, false, integer(now), ARGV[6]
  -- The new epoch invalidates the reservations of a bucket that was lost.
  returned, epoch, configured_at = 0, now, 0
  if ARGV[4] ~= '1' then level = capacity end
  redis.call('DEL', waiting_key, cancelled_key)
else
  read_quota(stored[6])
end

-- Replaces `due_at` of each waiting call by `change(due_at)` if it is at least `from`; returns whether there was any.
local function shift_due_times(from, change)
  local entries = redis.call('ZRANGEBYSCORE', waiting_key, from, '+inf', 'WITHSCORES')
  for i = 1, #entries, 2 do
    redis.call('ZADD', waiting_key, integer(change(tonumber(entries[i + 1]))), entries[i])
  end
  return #entries > 0
end

-- Removes the calls that no longer wait: all of them if the level is zero or more.
local function remove_served()
  if not queued then return end
  if level >= 0 then
    redis.call('DEL', waiting_key)
    queued, refilled = false, 0
    return
  end
  redis.call('ZREMRANGEBYSCORE', waiting_key, '-inf', integer(refilled))
  if refilled > 2 ^ 50 then
    local base = refilled
    shift_due_times('-inf', function(due_at) return due_at - base end)
    refilled = 0
  end
end

-- Refill. A clock that went back changes nothing. The elapsed time is limited to the time that fills the bucket, so
-- that the product stays exact.
local elapsed = math.min(math.max(now - updated_at, 0), math.max(ceil_div(capacity - level, units_per_us), 0))
if queued then refilled = refilled + elapsed * units_per_us end
level = math.min(level + elapsed * units_per_us, capacity)
updated_at = math.max(updated_at, now)
remove_served()

-- Whether `due_at` of a waiting call has changed.
local changed = false

-- The maximum of `due_at`. It is later than any wait that a quota allows. Without it, a change to a much slower quota
-- could produce numbers that are not exact.
local MAX_DUE_AT = 2 ^ 52

local function update_quota(text)
  local old = units_per_token
  read_quota(text)
  level = math.max(math.min(mul_div(level, units_per_token, old), capacity), -MAX_DUE_AT)
  if queued then
    shift_due_times('-inf', function(due_at)
      return refilled + math.min(-mul_div(refilled - due_at, units_per_token, old), MAX_DUE_AT)
    end)
  end
  epoch, returned = epoch + 1, 0
  changed = true
end

-- The time in µs until this many units are refilled.
local function refill_time(units)
  return math.max(ceil_div(units, units_per_us), 0)
end

-- Each operation takes the index of its first argument. It returns the index after its last argument, and its result.
local operations = {
  reserve = function(at)
    local ticket, cost, within = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    if cost > burst then return at + 3, -1, burst, 0 end
    local wait = refill_time(cost * units_per_token - level)
    if wait > within then return at + 3, 0, wait, 0 end
    level = level - cost * units_per_token
    if level < 0 then
      redis.call('ZADD', waiting_key, integer(refilled - level), ticket .. ':' .. ARGV[at + 1])
      queued = true
    end
    return at + 3, 1, wait, math.max(floor_div(level, units_per_token), 0)
  end,
  remaining_wait = function(at)
    local due_at = redis.call('ZSCORE', waiting_key, ARGV[at])
    return at + 1, 1, due_at and refill_time(tonumber(due_at) - refilled) or 0, 0
  end,
  cancel_wait = function(at)
    local due_at = redis.call('ZSCORE', waiting_key, ARGV[at])
    if due_at then
      local units = tonumber(string.match(ARGV[at], ':(%d+)$')) * units_per_token
      redis.call('ZREM', waiting_key, ARGV[at])
      level = level + units
      -- A call with the same `due_at` is later in the queue, unless the cost of this call is zero.
      changed = shift_due_times(due_at, function(later_due_at) return later_due_at - units end) or changed
    end
    remove_served()
    return at + 1, 1, 0, 0
  end,
  status = function(at) return at, 1, 0, 0 end,
  debit = function(at)
    level = level - tonumber(ARGV[at]) * units_per_token
    return at + 1, 1, 0, 0
  end,
  update = function(at)
    update_quota(ARGV[at])
    configured_at = now
    return at + 1, 1, 0, 0
  end,
  reset = function(at)
    local granted = capacity - math.max(level, 0)
    level = level + granted
    shift_due_times('-inf', function(due_at) return due_at - granted end)
    remove_served()
    epoch, returned = epoch + 1, 0
    changed = true
    return at, 1, 0, 0
  end,
  -- Since the reservation, the level was at most the level after it plus all units that were refilled and returned.
  -- Only the units that fit above this bound are returned: the bucket would not have discarded them if they had not
  -- been taken.
  cancel = function(at)
    local ticket, cost, taken_at = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local taken_level, taken_returned, taken_epoch =
      tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
    redis.call('ZREMRANGEBYSCORE', cancelled_key, '-inf', integer(updated_at))
    local passed = math.min(math.max(updated_at - taken_at, 0), refill_time(capacity - taken_level))
    local room = capacity - taken_level - passed * units_per_us - (returned - taken_returned)
    local units = math.min(room, cost * units_per_token)
    if units > 0 and taken_epoch == epoch and not redis.call('ZSCORE', cancelled_key, ticket) then
      redis.call('ZADD', cancelled_key, integer(updated_at + refill_time(room)), ticket)
      level, returned = level + units, returned + units
      changed = shift_due_times('-inf', function(due_at) return due_at - units end) or changed
      remove_served()
    end
    return at + 6, 1, 0, 0
  end,
}

-- A configured quota is applied once, when the first process announces it. A process announces its configuration when it
-- first uses the limit, so another process may have announced a newer one meanwhile. An update at run time stays active
-- until the configuration changes again.
local announced_at = announces and now - tonumber(ARGV[7])
if announces and announced_at >= configured_at then
  configured_at = announced_at
  -- Without a configured quota, an update of a process that has none created the bucket, and it stays active.
  if configured_quota ~= '' and configured_quota ~= ARGV[6] then update_quota(ARGV[6]) end
  configured_quota = ARGV[6]
end

local results, at, must_store = {}, 8, not is_missing or announces
local stores_nothing = { status = true, reset = ARGV[4] ~= '1' }
while ARGV[at] do
  must_store = must_store or not stores_nothing[ARGV[at]]
  local next_at, a, b, c = operations[ARGV[at]](at + 1)
  results[#results + 1] = table.concat(
    { integer(a), integer(b), integer(c), integer(level), integer(returned), integer(epoch) }, ' ')
  at = next_at
end

if must_store then
  redis.call('HSET', bucket_key, 'level', integer(level), 'updated_at', integer(updated_at),
    'refilled', integer(refilled), 'queued', queued and '1' or '0', 'created_at', created_at, 'quota', quota,
    'configured_quota', configured_quota, 'returned', integer(returned), 'epoch', integer(epoch),
    'configured_at', integer(configured_at))
end
if changed then redis.call('PUBLISH', ARGV[2], '') end

local state = created_at .. ' ' .. quota .. ' ' .. integer(floor_div(level, units_per_token)) .. ' '
  .. integer(refill_time(capacity - level)) .. ' ' .. integer(updated_at)
local reply = state .. ' ' .. table.concat(results, ' ')
redis.call('SET', batch_key, ARGV[1] .. ' ' .. reply, 'PX', 60000)
return reply
