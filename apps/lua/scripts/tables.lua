-- Table churn: a window of records in a hash table, where each step adds one, changes one and removes the oldest.
local WINDOW, STEPS = 2000, 30000
local records, sum, state = {}, 0, 42

local function random(limit)
    state = (state * 1103515245 + 12345) % 2147483648
    return state // 65536 % limit
end

for i = 1, STEPS do
    records[i] = { number = i, name = "record " .. i, tags = { i % 7, i % 11 } }

    local old = records[i - random(WINDOW)]

    if old then
        old.tags[#old.tags + 1] = i
        old.seen = (old.seen or 0) + 1
    end
    if i > WINDOW then
        local gone = records[i - WINDOW]

        sum = (sum * 31 + gone.number + #gone.name + #gone.tags + (gone.seen or 0)) % 1000000007
        records[i - WINDOW] = nil
    end
end

local left = 0

for _ in pairs(records) do
    left = left + 1
end

local result = string.format("%d records left of %d, sum %d", left, STEPS, sum)

return ... == true and result or print(result)
