-- Strings: built bit by bit, joined, searched and rewritten. The sum is Fletcher's (RFC 1146) over all results.
local low, high, length = 0, 0, 0

local function add(text)
    for i = 1, #text, 61 do
        low = (low + text:byte(i)) % 65521
        high = (high + low) % 65521
    end
    length = length + #text
end

local line = ""

for i = 1, 2000 do
    line = line .. string.char(97 + i * 7 % 26)
    if i % 100 == 0 then
        add(line)
    end
end

local words = {}

for i = 1, 24000 do
    words[i] = string.format("%x-%d", i * 2654435761 % 4294967296, i)
end
add(table.concat(words, " "))

local text = table.concat(words, ",", 1, 10000)
local changed, times = text:gsub("(%x+)%-(%d+)", "%2+%1")

add(changed)
for word in changed:gmatch("[^,]+") do
    add(word:upper():reverse())
end
add(text:rep(4, ";"):sub(1000, -1000))

local result = string.format("%d bytes, %d rewritten, sum %04x%04x", length, times, high, low)

return ... == true and result or print(result)
