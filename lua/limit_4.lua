-- Operations on one platform's token bucket, all or nothing; its semantics are those of `Bucket` in tidegate-core.
--
-- KEYS  1 the bucket (hash)  2 those who wait (sorted set: ticket:cost by due)  3 the reply to this process's last flight
--       4 receipts that were given back (sorted set by the µs until when they could be once more)
-- ARGV  1 the flight's number, growing in each process   2 the channel on which moved slots are told
--       3 the time in µs for tests, else ""               4 1 where a bucket that is gone must start empty, else 0
--       5 the quota for a bucket that is gone             6 the quota of the configuration, "" unless it is news
--       then the operations:
--         reserve TICKET COST WITHIN_US   look TICKET:COST   cancel TICKET:COST   status   debit COST
--         update QUOTA   reset   give_back TICKET COST AT LEVEL RETURNED EPOCH (as a reservation told them)
-- A quota is "tokens period_us burst units_per_us units_per_token".
-- Reply  a text of numbers: when the bucket was born, the quota in force, the level in whole tokens, µs until it is
--        full, its time in µs; then for each operation three, and what a receipt of a reservation has: the level in
--        units, units given back so far, changes so far:
--         reserve  1 wait_us tokens_left | 0 retry_after_us 0 | -1 max 0        look  1 wait_us 0       others  1 0 0
--
-- Numbers are whole and below 2^53, where doubles are exact: levels stay below 2^51 (Quota::new sees to it).

local bucket, waiting, flight, spent = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local last = redis.call('GET', flight)
if last then
  local number, reply = string.match(last, '^(%d+) (.*)$')
  if number == ARGV[1] then return reply end
  if tonumber(number) > tonumber(ARGV[1]) then return redis.error_reply('STALE a later flight has landed') end
end

local now = tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

-- tostring would print 14 digits; adding 0 makes the zero below zero an ordinary one.
local function whole(x)
  return string.format('%.0f', x + 0)
end

-- x / y rounded down and up; fmod is exact where the quotient of doubles is not.
local function floor_div(x, y)
  local rest = math.fmod(x, y)
  if rest < 0 then rest = rest + y end
  return (x - rest) / y
end

local function ceil_div(x, y)
  return -floor_div(-x, y)
end

-- x * y / z rounded down, where the product may be above 2^53: long multiplication, bit by bit.
local function scaled(x, y, z)
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

local quota, burst, flow, token, capacity

local function read_quota(text)
  quota = text
  local b, f, t = string.match(text, '^%d+ %d+ (%d+) (%d+) (%d+)$')
  burst, flow, token = tonumber(b), tonumber(f), tonumber(t)
  capacity = burst * token
end

-- The level may be below zero: what is below is reserved by those who wait. `flowed` counts the units that came while
-- anyone waits; a ticket's due is what must have flowed when its slot comes.
local stored = redis.call('HMGET', bucket, 'level', 'mark', 'flowed', 'queue', 'born', 'quota', 'configured',
  'returned', 'epoch')
local level, mark, flowed = tonumber(stored[1]), tonumber(stored[2]), tonumber(stored[3])
local queue, born, configured = stored[4] == '1', stored[5], stored[7]
local returned, epoch = tonumber(stored[8] or 0), tonumber(stored[9] or 0)
if level then
  read_quota(stored[6])
else
  read_quota(ARGV[5])
  level, mark, flowed, queue, born, configured = 0, now, 0, false, whole(now), ARGV[6]
  -- A receipt of a bucket that was lost is worth nothing.
  returned, epoch = 0, now
  if ARGV[4] ~= '1' then level = capacity end
  redis.call('DEL', waiting, spent)
end

local function each_waiting(from, change)
  local found = redis.call('ZRANGEBYSCORE', waiting, from, '+inf', 'WITHSCORES')
  for i = 1, #found, 2 do
    redis.call('ZADD', waiting, whole(change(tonumber(found[i + 1]))), found[i])
  end
  return #found > 0
end

-- Whoever's slot has come waits no longer; where the level is not below zero, everyone's has.
local function serve()
  if not queue then return end
  if level >= 0 then
    redis.call('DEL', waiting)
    queue, flowed = false, 0
    return
  end
  redis.call('ZREMRANGEBYSCORE', waiting, '-inf', whole(flowed))
  if flowed > 2 ^ 50 then
    local base = flowed
    each_waiting('-inf', function(due) return due - base end)
    flowed = 0
  end
end

-- A clock that went back keeps the level and moves nothing. More time than fills the bucket is cut before it is
-- multiplied.
local elapsed = math.min(math.max(now - mark, 0), math.max(ceil_div(capacity - level, flow), 0))
if queue then flowed = flowed + elapsed * flow end
level = math.min(level + elapsed * flow, capacity)
mark = math.max(mark, now)
serve()

local moved = false

-- Beyond any slot that a quota grants in time; a change to a far slower quota would lead beyond exact numbers.
local FAR = 2 ^ 52

local function update(text)
  local old = token
  read_quota(text)
  level = math.max(math.min(scaled(level, token, old), capacity), -FAR)
  if queue then
    each_waiting('-inf', function(due) return flowed + math.min(-scaled(flowed - due, token, old), FAR) end)
  end
  epoch, returned = epoch + 1, 0
  moved = true
end

local function wait_for(units)
  return math.max(ceil_div(units, flow), 0)
end

local operations = {
  reserve = function(at)
    local ticket, cost, within = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    if cost > burst then return at + 3, -1, burst, 0 end
    local wait = wait_for(cost * token - level)
    if wait > within then return at + 3, 0, wait, 0 end
    level = level - cost * token
    if level < 0 then
      redis.call('ZADD', waiting, whole(flowed - level), ticket .. ':' .. ARGV[at + 1])
      queue = true
    end
    return at + 3, 1, wait, math.max(floor_div(level, token), 0)
  end,
  look = function(at)
    local due = redis.call('ZSCORE', waiting, ARGV[at])
    return at + 1, 1, due and wait_for(tonumber(due) - flowed) or 0, 0
  end,
  cancel = function(at)
    local due = redis.call('ZSCORE', waiting, ARGV[at])
    if due then
      local price = tonumber(string.match(ARGV[at], ':(%d+)$')) * token
      redis.call('ZREM', waiting, ARGV[at])
      level = level + price
      -- A slot with the same due stands behind, or the price is zero.
      moved = each_waiting(due, function(behind) return behind - price end) or moved
    end
    serve()
    return at + 1, 1, 0, 0
  end,
  status = function(at) return at, 1, 0, 0 end,
  debit = function(at)
    level = level - tonumber(ARGV[at]) * token
    return at + 1, 1, 0, 0
  end,
  update = function(at)
    update(ARGV[at])
    return at + 1, 1, 0, 0
  end,
  reset = function(at)
    local granted = capacity - math.max(level, 0)
    level = level + granted
    each_waiting('-inf', function(due) return due - granted end)
    serve()
    epoch, returned = epoch + 1, 0
    moved = true
    return at, 1, 0, 0
  end,
  -- The level can have risen no higher than what it was plus all that came in, so what would surely not have flowed over
  -- comes back: the bucket is then as if so much had never been taken.
  give_back = function(at)
    local ticket, cost, taken_at = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local then_level, then_returned, then_epoch = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
    redis.call('ZREMRANGEBYSCORE', spent, '-inf', whole(mark))
    local passed = math.min(math.max(mark - taken_at, 0), wait_for(capacity - then_level))
    local room = capacity - then_level - passed * flow - (returned - then_returned)
    local units = math.min(room, cost * token)
    if units > 0 and then_epoch == epoch and not redis.call('ZSCORE', spent, ticket) then
      redis.call('ZADD', spent, whole(mark + wait_for(room)), ticket)
      level, returned = level + units, returned + units
      moved = each_waiting('-inf', function(due) return due - units end) or moved
      serve()
    end
    return at + 6, 1, 0, 0
  end,
}

-- A configuration is news once, whoever brings it; an update at run time stays until the next.
if ARGV[6] ~= '' and ARGV[6] ~= configured then
  configured = ARGV[6]
  update(configured)
end

local replies, at = {}, 7
while ARGV[at] do
  local next_at, a, b, c = operations[ARGV[at]](at + 1)
  replies[#replies + 1] = table.concat({whole(a), whole(b), whole(c), whole(level), whole(returned), whole(epoch)}, ' ')
  at = next_at
end

redis.call('HSET', bucket, 'level', whole(level), 'mark', whole(mark), 'flowed', whole(flowed),
  'queue', queue and '1' or '0', 'born', born, 'quota', quota, 'configured', configured,
  'returned', whole(returned), 'epoch', whole(epoch))
if moved then redis.call('PUBLISH', ARGV[2], '') end

local head = born .. ' ' .. quota .. ' ' .. whole(floor_div(level, token)) .. ' ' .. whole(wait_for(capacity - level))
  .. ' ' .. whole(mark)
local reply = head .. ' ' .. table.concat(replies, ' ')
redis.call('SET', flight, ARGV[1] .. ' ' .. reply, 'PX', 60000)
return reply
