-- Complete binary trees, many small ones and one that lives through all of it: every node is a table of its own.
local DEPTH = 12

local function grow(depth)
    if depth == 0 then
        return {}
    end

    local left = grow(depth - 1)

    return { left, grow(depth - 1) }
end

local function count(node)
    if not node[1] then
        return 1
    end
    return 1 + count(node[1]) + count(node[2])
end

local function height(node)
    local result = 0

    while node[1] do
        node = node[result % 2 + 1]
        result = result + 1
    end
    return result
end

local lasting = grow(DEPTH)
local trees, nodes = 0, 0

for depth = 4, DEPTH, 4 do
    for _ = 1, 24 << (DEPTH - depth) do
        trees = trees + 1
        nodes = nodes + (2 << height(grow(depth))) - 1
    end
end

local result = string.format("%d trees of %d nodes came and went, one of %d stayed", trees, nodes, count(lasting))

return ... == true and result or print(result)
