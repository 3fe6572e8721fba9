"""Files that attack who reads them, and what they may not do."""
