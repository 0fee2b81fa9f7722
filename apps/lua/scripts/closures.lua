-- Lists made of nothing but closures, as in the lambda calculus: a pair is a function that hands its two parts to another.
local function pair(head, tail)
    return function(use)
        return use(head, tail)
    end
end

local function parts(head, tail)
    return head, tail
end

local function range(first, last)
    local list = nil

    for i = last, first, -1 do
        list = pair(i, list)
    end
    return list
end

local function sum(list)
    local total, head = 0, nil

    while list do
        head, list = list(parts)
        total = total + head
    end
    return total
end

local total, pairs_made = 0, 0

for length = 1, 1010 do
    total = total + sum(range(1, length))
    pairs_made = pairs_made + length
end

local result = string.format("%d pairs, sum %d", pairs_made, total)

return ... == true and result or print(result)
