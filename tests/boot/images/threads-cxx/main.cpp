// Threads as C++ has them. Prints the same on Linux.
#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <functional>
#include <future>
#include <iostream>
#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <semaphore>
#include <shared_mutex>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace
{

using namespace std::chrono_literals;

constexpr int WORKERS = 4;
constexpr int ROUNDS = 2000;

void yes(const char *what, bool condition)
{
    std::cout << what << ": " << (condition ? "yes" : "NO") << std::endl;
}

/// Runs the function in so many threads, which get their numbers, and waits for all.
template <typename Function> void in_threads(int count, Function function)
{
    std::vector<std::thread> threads;

    for (int i = 0; i < count; i++)
        threads.emplace_back(function, i);
    for (auto &thread : threads)
        thread.join();
}

// ---- threads ----

void check_threads()
{
    std::vector<int> numbers(WORKERS);
    std::atomic<int> detached{0};
    std::thread empty;

    in_threads(WORKERS, [&](int i) { numbers[i] = i + 1; });
    std::cout << "sum " << std::accumulate(numbers.begin(), numbers.end(), 0) << std::endl;
    for (int i = 0; i < 20; i++)
        std::thread([&] { detached++; }).detach();
    while (detached != 20)
        std::this_thread::yield();
    yes("none is not joinable", !empty.joinable());
    std::thread one([] {}), other([] {});
    yes("identities differ", one.get_id() != other.get_id() && one.get_id() != std::this_thread::get_id());
    std::swap(one, other);
    one.join();
    other.join();
    try {
        one.join();
    } catch (const std::system_error &error) {
        yes("joined twice: invalid_argument", error.code() == std::errc::invalid_argument);
    }
    yes("there are CPUs", std::thread::hardware_concurrency() >= 1);
    std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_until(std::chrono::steady_clock::now() + 1ms);
}

// ---- mutexes ----

template <typename Mutex> long count_with(Mutex &mutex)
{
    long count = 0;

    in_threads(WORKERS, [&](int) {
        for (int i = 0; i < ROUNDS; i++) {
            std::lock_guard guard(mutex);
            count++;
        }
    });
    return count;
}

void check_mutexes()
{
    std::mutex plain, other;
    std::recursive_mutex recursive;
    std::timed_mutex timed;
    std::shared_mutex shared;
    long swaps = 0;

    std::cout << count_with(plain) << " " << count_with(recursive) << " " << count_with(timed) << " "
              << count_with(shared) << std::endl;
    in_threads(WORKERS, [&](int number) { // in both orders, without a deadlock
        for (int i = 0; i < ROUNDS / 4; i++) {
            if (number % 2) {
                std::scoped_lock both(plain, other);
                swaps++;
            } else {
                std::scoped_lock both(other, plain);
                swaps++;
            }
        }
    });
    std::cout << "both " << swaps << std::endl;
    std::lock_guard guard(timed);
    std::thread([&] { yes("timed out", !timed.try_lock_for(10ms)); }).join();
    std::recursive_timed_mutex twice;
    std::unique_lock first(twice);
    yes("again", twice.try_lock_until(std::chrono::steady_clock::now() + 1h));
    twice.unlock();
}

void check_shared_mutex()
{
    std::shared_timed_mutex mutex;
    std::map<int, int> map;
    std::atomic<int> wrong{0};
    std::barrier all_read(WORKERS);

    in_threads(WORKERS, [&](int number) {
        std::shared_lock together(mutex);
        all_read.arrive_and_wait(); // all at once, or none goes on
        together.unlock();
        for (int i = 0; i < 300; i++) {
            if (i % 10 == number) {
                std::unique_lock alone(mutex);
                map[number] = i;
                map[number + 100] = i;
            } else {
                std::shared_lock reading(mutex);
                for (auto [key, value] : map)
                    wrong += key < 100 && map.at(key + 100) != value;
            }
        }
    });
    std::cout << "entries " << map.size() << ", wrong " << wrong << std::endl;
    std::shared_lock reading(mutex);
    std::thread([&] { yes("no writer beside a reader", !mutex.try_lock_for(5ms)); }).join();
    std::thread([&] { yes("but another reader", std::shared_lock(mutex, std::try_to_lock).owns_lock()); }).join();
}

// ---- conditions ----

/// A queue that producers close.
template <typename Item> class Queue
{
  public:
    void put(Item item)
    {
        std::unique_lock lock(mutex_);
        emptied_.wait(lock, [&] { return items_.size() < 8; });
        items_.push_back(std::move(item));
        filled_.notify_one();
    }

    bool take(Item &item)
    {
        std::unique_lock lock(mutex_);
        filled_.wait(lock, [&] { return !items_.empty() || closed_; });
        if (items_.empty())
            return false;
        item = std::move(items_.front());
        items_.pop_front();
        emptied_.notify_one();
        return true;
    }

    void close()
    {
        std::lock_guard lock(mutex_);
        closed_ = true;
        filled_.notify_all();
    }

  private:
    std::mutex mutex_;
    std::condition_variable filled_, emptied_;
    std::deque<Item> items_;
    bool closed_ = false;
};

void check_conditions()
{
    Queue<std::string> queue;
    std::atomic<size_t> length{0};
    std::vector<std::thread> consumers;

    for (int i = 0; i < 3; i++)
        consumers.emplace_back([&] {
            for (std::string text; queue.take(text);)
                length += text.size();
        });
    in_threads(3, [&](int number) {
        for (int i = 0; i < 500; i++)
            queue.put(std::string(static_cast<size_t>(i % 100), static_cast<char>('a' + number)));
    });
    queue.close();
    for (auto &thread : consumers)
        thread.join();
    std::cout << "characters " << length << std::endl;

    std::mutex mutex;
    std::condition_variable never;
    std::condition_variable_any any;
    std::unique_lock lock(mutex);
    auto end = std::chrono::steady_clock::now() + 10ms;
    yes("nobody notifies", !never.wait_until(lock, end, [] { return false; }));
    yes("not before its time", std::chrono::steady_clock::now() >= end);
    yes("nor here", !any.wait_for(lock, 5ms, [] { return false; }));
    bool told = false;
    std::thread teller([&] {
        std::unique_lock other(mutex);
        told = true;
        any.notify_all();
        std::notify_all_at_thread_exit(never, std::move(other)); // it stays locked until then
    });
    any.wait(lock, [&] { return told; });
    lock.unlock();
    teller.join();
    yes("told", told);
}

// ---- futures ----

int fibonacci(int n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

void check_futures()
{
    std::vector<std::future<int>> results;

    for (int i = 10; i < 18; i++)
        results.push_back(std::async(std::launch::async, fibonacci, i));
    int sum = 0;
    for (auto &result : results)
        sum += result.get();
    std::cout << "sum of futures " << sum << std::endl;

    auto failing = std::async(std::launch::async, []() -> int { throw std::out_of_range("thrown in a thread"); });
    try {
        failing.get();
    } catch (const std::out_of_range &error) {
        std::cout << "caught: " << error.what() << std::endl;
    }

    std::promise<std::unique_ptr<int>> promise;
    auto future = promise.get_future();
    yes("not ready", future.wait_for(5ms) == std::future_status::timeout);
    std::thread setter([&] { promise.set_value(std::make_unique<int>(7)); });
    std::cout << "promised " << *future.get() << std::endl;
    setter.join();

    std::future<void> broken;
    {
        std::promise<void> forgotten;
        broken = forgotten.get_future();
    }
    try {
        broken.get();
    } catch (const std::future_error &error) {
        yes("broken promise", error.code() == std::future_errc::broken_promise);
    }

    std::packaged_task<int(int, int)> task([](int a, int b) { return a * b; });
    auto product = task.get_future();
    std::thread(std::move(task), 6, 9).join();
    std::cout << "product " << product.get() << std::endl;

    std::promise<int> start;
    std::shared_future<int> all = start.get_future().share();
    std::atomic<int> seen{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < WORKERS; i++)
        threads.emplace_back([&, all] { seen += all.get(); });
    start.set_value(5);
    for (auto &thread : threads)
        thread.join();
    std::cout << "shared " << seen << std::endl;
    auto deferred = std::async(std::launch::deferred, [] { return std::this_thread::get_id(); });
    yes("deferred runs here", deferred.get() == std::this_thread::get_id());
}

// ---- exceptions ----

struct Counted {
    static std::atomic<int> alive;
    Counted()
    {
        alive++;
    }
    Counted(const Counted &)
    {
        alive++;
    }
    ~Counted()
    {
        alive--;
    }
};

std::atomic<int> Counted::alive{0};

int throw_deep(int depth)
{
    Counted frame;

    if (depth == 0)
        throw std::runtime_error("from the depth");
    return throw_deep(depth - 1) + 1;
}

/// All threads throw at the same time, and each catches its own.
void check_exceptions()
{
    std::atomic<int> caught{0};
    std::exception_ptr carried;

    in_threads(WORKERS, [&](int number) {
        for (int i = 0; i < 200; i++) {
            try {
                throw_deep(number + i % 20);
            } catch (const std::runtime_error &) {
                caught += std::uncaught_exceptions() == 0;
            }
        }
    });
    std::cout << "caught " << caught << ", alive " << Counted::alive << std::endl;
    std::thread([&] {
        try {
            throw std::invalid_argument("carried over");
        } catch (...) {
            carried = std::current_exception();
        }
    }).join();
    try {
        std::rethrow_exception(carried);
    } catch (const std::invalid_argument &error) {
        std::cout << "rethrown: " << error.what() << std::endl;
    }
}

// ---- thread-local objects ----

std::atomic<int> made{0}, unmade{0};

struct Local {
    std::string text = "local to thread";
    int number = -1;

    Local()
    {
        made++;
    }
    ~Local()
    {
        unmade += text == "local to thread " + std::to_string(number);
    }
};

thread_local Local local;

void check_locals()
{
    in_threads(WORKERS, [](int number) {
        local.number = number;
        local.text += " " + std::to_string(number);
        std::this_thread::yield();
    });
    in_threads(WORKERS, [](int) {}); // who does not use it has none
    std::cout << "made " << made << ", unmade " << unmade << std::endl;
}

/// Static objects of functions are made once, and others wait for that.
void check_statics()
{
    static std::atomic<int> constructed{0};
    struct Slow {
        Slow()
        {
            std::this_thread::sleep_for(10ms);
            constructed++;
        }
    };
    std::atomic<int> ready{0};
    std::once_flag once;
    int calls = 0;

    in_threads(WORKERS, [&](int number) {
        static Slow slow;
        ready += constructed == 1;
        std::call_once(once, [&] { calls++; });
        (void)number;
    });
    std::cout << "constructed " << constructed << ", ready " << ready << ", once " << calls << std::endl;
    std::once_flag failing;
    int tries = 0;
    for (int i = 0; i < 3; i++) {
        try {
            std::call_once(failing, [&] {
                if (++tries < 3)
                    throw std::logic_error("not yet");
            });
        } catch (const std::logic_error &) {
        }
    }
    std::cout << "tries " << tries << std::endl;
}

// ---- C++20 ----

void check_waiting_atomics()
{
    std::atomic<int> turn{0};
    std::atomic_flag flag;

    in_threads(2, [&](int number) {
        for (int i = 0; i < 300; i++) {
            for (int now = turn; now % 2 != number; now = turn)
                turn.wait(now);
            turn++;
            turn.notify_one();
        }
    });
    std::cout << "turns " << turn << std::endl;
    std::thread waiter([&] { flag.wait(false); });
    flag.test_and_set();
    flag.notify_all();
    waiter.join();

    std::latch latch(WORKERS);
    std::counting_semaphore<10> tokens(0);
    int completions = 0;
    std::atomic<int> taken{0};
    std::barrier barrier(WORKERS, [&]() noexcept { completions++; });
    std::thread giver([&] {
        latch.wait();
        tokens.release(WORKERS);
    });
    in_threads(WORKERS, [&](int) {
        latch.count_down();
        tokens.acquire();
        taken++;
        for (int i = 0; i < 20; i++)
            barrier.arrive_and_wait();
    });
    giver.join();
    std::cout << "taken " << taken << ", completions " << completions << std::endl;
    yes("no token is left", !tokens.try_acquire_for(5ms));
}

void check_stop()
{
    std::atomic<int> stopped{0};
    std::mutex mutex;
    std::condition_variable_any condition;

    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < WORKERS; i++)
            threads.emplace_back([&](std::stop_token stop) {
                std::unique_lock lock(mutex);
                condition.wait(lock, stop, [] { return false; });
                stopped += stop.stop_requested();
            });
    }
    std::cout << "stopped " << stopped << std::endl;
}

// ---- a pool ----

class Pool
{
  public:
    explicit Pool(int count)
    {
        for (int i = 0; i < count; i++)
            threads_.emplace_back([this] {
                for (std::function<void()> job; jobs_.take(job);)
                    job();
            });
    }

    ~Pool()
    {
        jobs_.close();
        for (auto &thread : threads_)
            thread.join();
    }

    template <typename Function> auto submit(Function function) -> std::future<decltype(function())>
    {
        auto task = std::make_shared<std::packaged_task<decltype(function())()>>(std::move(function));
        auto result = task->get_future();

        jobs_.put([task] { (*task)(); });
        return result;
    }

  private:
    Queue<std::function<void()>> jobs_;
    std::vector<std::thread> threads_;
};

void check_pool()
{
    std::vector<std::future<size_t>> lengths;
    size_t total = 0;
    int failures = 0;

    {
        Pool pool(WORKERS);
        for (int i = 0; i < 200; i++)
            lengths.push_back(pool.submit([i] {
                std::ostringstream text;
                for (int k = 0; k < i; k++)
                    text << k << ' ';
                if (i % 50 == 49)
                    throw std::runtime_error("a job failed");
                return text.str().size();
            }));
    }
    for (auto &length : lengths) {
        try {
            total += length.get();
        } catch (const std::runtime_error &) {
            failures++;
        }
    }
    std::cout << "total " << total << ", failures " << failures << std::endl;
}

/// Shared pointers and containers that many threads copy and drop.
void check_counts()
{
    auto shared = std::make_shared<std::vector<int>>(100, 1);
    std::weak_ptr<std::vector<int>> weak = shared;
    std::atomic<long> sum{0};

    in_threads(WORKERS, [&, shared](int) {
        for (int i = 0; i < ROUNDS; i++) {
            auto copy = weak.lock();
            sum += std::accumulate(copy->begin(), copy->end(), 0);
        }
    });
    std::cout << "sum " << sum << ", users " << shared.use_count() << std::endl;
}

struct AtEnd {
    ~AtEnd()
    {
        std::cout << "destructor behind main" << std::endl;
    }
} at_end;

} // namespace

int main()
{
    check_threads();
    check_mutexes();
    check_shared_mutex();
    check_conditions();
    check_futures();
    check_exceptions();
    check_locals();
    check_statics();
    check_waiting_atomics();
    check_stop();
    check_pool();
    check_counts();
    std::cout << "-- end" << std::endl;
    return 0;
}
