-- Runs every script next to this one and prints a line for each: its name and its result.
local here = (...):match("^(.*/)") or ""

for _, name in ipairs { "trees", "closures", "strings", "tables", "sort" } do
    local run = assert(loadfile(here .. name .. ".lua"))
    local before = allocations()

    print(string.format("%-8s %s", name, run(true)))
    collectgarbage()
    assert(allocations() > before)
end

local calls = allocations()

print(string.format("%-8s %s", "all", calls >= 3000000 and "more than 3 million allocations" or calls .. " allocations"))
