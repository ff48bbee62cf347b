"""The pytest plugin of Crystallize: experiments as tests."""
