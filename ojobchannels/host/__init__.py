"""Clock, forks, wakeups and helper files of this process and its host."""
