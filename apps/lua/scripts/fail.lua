-- Raises an error three calls deep: what a traceback looks like.
local function inner(value)
    return value.field.missing
end

local function middle(value)
    local result = inner(value)

    return result
end

local result = middle({})

print(result)
