"""What the measuring tools share: flags, methods to compare, running them, and writing what came out."""
