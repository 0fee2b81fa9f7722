-- Sorting: numbers by the library, words by a function, lists by a merge sort that makes a new list at each level.
local state = 7

local function random()
    state = (state * 48271) % 2147483647
    return state
end

local function is_sorted(list)
    for i = 2, #list do
        if list[i] < list[i - 1] then
            return false
        end
    end
    return true
end

local function merge(left, right)
    local result, i, j = {}, 1, 1

    while i <= #left or j <= #right do
        if j > #right or i <= #left and left[i] <= right[j] then
            result[#result + 1] = left[i]
            i = i + 1
        else
            result[#result + 1] = right[j]
            j = j + 1
        end
    end
    return result
end

local function merge_sort(list, first, last)
    if first == last then
        return { list[first] }
    end

    local middle = (first + last) // 2

    return merge(merge_sort(list, first, middle), merge_sort(list, middle + 1, last))
end

local numbers, words = {}, {}

for i = 1, 8000 do
    numbers[i] = random()
    words[i] = string.format("%08x", random())
end

local merged = merge_sort(numbers, 1, #numbers)

table.sort(numbers)
table.sort(words, function(a, b)
    return a < b
end)
assert(is_sorted(numbers) and is_sorted(words) and is_sorted(merged))

local result = string.format("%d numbers from %d to %d, %d words from %s to %s", #numbers, numbers[1], numbers[#numbers],
    #words, words[1], words[#words])

return ... == true and result or print(result)
