"""Object stores: addresses, clients, ranged and conditional requests, and what is tried again."""
